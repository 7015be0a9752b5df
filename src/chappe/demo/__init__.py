"""`make demo`: two people talk through a real server, while you watch and while the promises are checked.

`python -m chappe.demo` starts `chappe serve` as a process in a temporary folder and plays `story`. It is a check as
much as a show: it ends with 1 when anything that was promised did not happen.
"""
