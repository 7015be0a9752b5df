"""The cases of OTP's supervisor_SUITE, by OTP's names: what each of them tests, tested here.

`cases.py` is the list of them all, and says of those left out why. Each file has one group of cases; a case
named `x` is the function `test_x`. `python -m tests.supervisors.otp_suite` writes docs/supervisors/otp-suite.md.

Source of the names and of what they test:
https://github.com/erlang/otp/blob/OTP-27.0/lib/stdlib/test/supervisor_SUITE.erl
"""
