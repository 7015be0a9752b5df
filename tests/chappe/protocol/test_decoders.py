"""Types are learnt by one thread at a time: otherwise msgspec ends the process with a segmentation fault."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from chappe.ids import UserId
from chappe.protocol.calls import UserRef
from chappe.protocol.decoders import decoder_of

CHAPPE = Path(__file__).parents[3] / "src" / "chappe"

# With `msgspec.msgpack.decode(data, type=kind)` in place of the decoder this dies within a second.
THREADS = """
import sys, threading, typing
import msgspec
from chappe.protocol.decoders import decoder_of

sys.setswitchinterval(1e-6)
data = msgspec.msgpack.encode([[b"x"] * 12] * 4)
for number in range(300):
    fields = [(f"a{n}", typing.Annotated[bytes, msgspec.Meta(max_length=1000 + n)]) for n in range(12)]
    inner = msgspec.defstruct("Inner", fields, array_like=True)
    kind = msgspec.defstruct("Outer", [(f"f{n}", inner) for n in range(4)], array_like=True)
    together = threading.Barrier(4)

    def decode():
        together.wait()
        decoder_of(kind).decode(data)

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_a_decoder_is_made_once() -> None:
    decoder = decoder_of(UserRef)
    assert decoder is decoder_of(UserRef)
    assert decoder.decode(b"\x91\xc4\x10" + bytes(16)) == UserRef(UserId(bytes(16)))


def test_threads_that_need_a_type_at_once_do_not_crash() -> None:
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nobody_hands_a_type_to_msgspecs_own_function() -> None:
    for file in CHAPPE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "msgspec.msgpack.decode":
                kinds = [ast.unparse(word.value) for word in node.keywords if word.arg == "type"]
                assert set(kinds) <= {"int"}, f"{file}:{node.lineno}: use decoder_of({kinds[0]})"
