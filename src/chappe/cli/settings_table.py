"""The table of settings in docs/operations.md, generated from the settings themselves.

`python -m chappe.cli.settings_table docs/operations.md` rewrites it; see `pages.py`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..settings import ENV_PREFIX, Settings
from .pages import rewrite_files, rewritten

MODULE: Final = "chappe.cli.settings_table"


def table() -> str:
    """Return the generated part, in Markdown."""
    parts = []
    for name, field in Settings.model_fields.items():
        section: Any = field.annotation
        rows = ["| setting | default | meaning |", "|---|---|---|", *_rows(section)]
        parts.append("\n".join([f"### `[{name}]`", "", inspect.cleandoc(section.__doc__), "", *rows]))
    return "\n\n".join(parts)


def variable(section: str, key: str) -> str:
    """Return the environment variable of a setting."""
    return f"{ENV_PREFIX}{section.upper()}__{key.upper()}"


def _rows(section: type[BaseModel]) -> Iterator[str]:
    for key, field in section.model_fields.items():
        if field.description is None:
            raise ValueError(f"{section.__name__}.{key} has no description: say below it what it does.")
        yield f"| `{key}` | {_default(field.default)} | {_meaning(' '.join(field.description.split()), field)} |"


def _meaning(said: str, field: FieldInfo) -> str:
    bounds = " ".join(_bounds(field))
    if bounds and said.endswith(","):  # the next setting's description goes on
        return f"{said[:-1]} ({bounds[0].lower()}{bounds[1:-1]}),"
    return f"{said} {bounds}".rstrip()


def _bounds(field: FieldInfo) -> Iterator[str]:
    least = next((one.ge for one in field.metadata if hasattr(one, "ge")), None)
    most = next((one.le for one in field.metadata if hasattr(one, "le")), None)
    if least is not None and most is not None:
        yield f"From {least} to {most}."
    elif least is not None:
        yield f"At least {least}."
    elif most is not None:
        yield f"At most {most}."


def _default(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, Path):
        value = str(value)
    return f"`{json.dumps(value)}`"  # as TOML writes strings, numbers and lists


def page_with_table(page: str) -> str:
    """Return the page with its table up to date. Raises: `ValueError`."""
    return rewritten(page, MODULE, table())


if __name__ == "__main__":
    rewrite_files(page_with_table)
