"""The differential oracle: generated scripts played on this library and on OTP's own supervisor must look the same.

`python -m tests.oracle --help` runs it by hand, `test_oracle.py` in the test run. See docs/supervisors/oracle.md.
"""
