"""The benchmark: a load generator that outruns the server, and the figures of docs/performance.md.

`python -m bench` starts the real server with config/bench.toml and speaks protocol version 1 to it from
this process, on asyncio, uvloop and picows, so that the server's CPU is what limits. The parts, in the
order of a run: `node` (the server's process), `accounts` (sign-up), `wire` (one connection), `traffic`
(pairs that write), `idle` (memory), `sampler` (the profiler inside the server), `report` (tables).
"""
