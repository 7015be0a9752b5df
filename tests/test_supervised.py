"""Long-lived tasks are children of a tree: every other way to start a task is listed here, with its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

CHAPPE = Path(__file__).parents[1] / "src" / "chappe"
STARTERS = {"open_nursery", "spawn_system_task", "serve_listeners", "serve_tcp"}

# Where a nursery is opened, and why what it holds is no child of a supervisor.
BARE = {
    # The node.
    (
        "app.py",
        "serve",
    ): "holds the root of the tree, in the process' main task, and beside it who hears signals",
    # The parent of workers.
    ("fleet/parent.py", "supervise"): "holds the root of the tree, and beside it who hears signals",
    ("fleet/parent.py", "Fleet._muster"): "joins first starts, side by side, to the child that wants them",
    ("fleet/endpoints.py", "ask_all"): "joins questions with a deadline to the request that asks them",
    (
        "gateway/serve.py",
        "serve",
    ): "joins the library's reader to the connection, a temporary child, as a link would",
    ("workers/log_writer.py", "LogWriter.run"): "joins a helper that only waits for the stop to its child",
    (
        "bus/bus.py",
        "GatewayBus._serve",
    ): "joins the tasks of one link to the bus, a child: they end with the link",
    ("bus/redis.py", "RedisBroker.open"): "joins the library's reader to the link that it serves",
    # The client, whose tree is the program's that uses it.
    ("client/client.py", "Client.__aenter__"): "holds the root of the client's tree, in the caller's task",
    ("client/dial.py", "dial"): "joins the library's reader to the connector, a child",
    # Programs for one person, which end with the first error.
    ("cli/running.py", "_run"): "turns signals into a cancel, for as long as a command runs",
    ("cli/chat.py", "_at_terminal"): "one screen",
    ("cli/chat.py", "_in_pipe"): "one screen",
    ("cli/talk.py", "Talk.hear"): "one screen's clock",
    ("cli/top.py", "_watch"): "one screen",
    ("demo/person.py", "Person.at_the_phone"): "a demonstration's part",
    ("demo/server.py", "running_server"): "a demonstration's part",
    ("demo/story.py", "_burst"): "a demonstration's part",
}


def starts(file: Path) -> Iterator[str]:
    """Yield the functions of a file that start tasks by themselves, as in `Talk.hear`."""

    def visit(node: ast.AST, path: tuple[str, ...]) -> Iterator[str]:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            path = (*path, node.name)
        elif isinstance(node, ast.Name | ast.Attribute | ast.alias):
            name = (
                node.attr
                if isinstance(node, ast.Attribute)
                else getattr(node, "id", getattr(node, "name", ""))
            )
            if name in STARTERS:
                yield ".".join(path)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, path)

    yield from visit(ast.parse(file.read_text(encoding="utf-8")), ())


def test_no_task_outside_a_tree_without_a_reason() -> None:
    found = {
        (file.relative_to(CHAPPE).as_posix(), function)
        for file in CHAPPE.rglob("*.py")
        for function in starts(file)
    }
    assert found == set(BARE)
    assert all(BARE.values())


def test_every_way_to_start_one_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "new.py"
    file.write_text(
        "from trio import open_nursery as plain\n"
        "import trio\n"
        "class A:\n"
        "    async def b(self):\n"
        "        async with trio.open_nursery() as nursery: pass\n"
        "def c():\n"
        "    start = trio.lowlevel.spawn_system_task\n"
        "async def d(stack):\n"
        "    await stack.enter_async_context(trio.open_nursery())\n"
    )
    assert list(starts(file)) == ["", "A.b", "c", "d"]
