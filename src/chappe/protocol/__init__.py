"""The wire, sans I/O: frames, codec, session. Bytes and frames in, frames and verdicts out; imports nothing above."""
