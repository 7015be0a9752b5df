"""What a supervised child costs beside a bare trio task and beside Erlang/OTP: the figures of docs/supervisors/cost.md.

`python -m bench.supervisors` runs each of `cases` in a fresh process (`worker` on trio, `pool.erl` on Erlang), reads
its CPU time and memory from outside (`runs`), takes medians and ratios (`figures`) and prints them (`report`).
"""
