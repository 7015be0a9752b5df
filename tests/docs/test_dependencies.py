"""docs/dependencies.md lists every direct dependency with the licence that its metadata states; all are permissive."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution

import pytest

from .pages import ROOT, read

PERMISSIVE = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0"}
# Explained on the page (†): an extra that users choose to install, and a tool that is not distributed.
EXCEPTIONS = {"psycopg": "LGPL-3.0-only", "hypothesis": "MPL-2.0"}
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
}
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def direct() -> set[str]:
    """Return the names of all direct dependencies, extras and groups included."""
    project = tomllib.loads(read(ROOT / "pyproject.toml"))
    lists = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    return {found[0] for one in lists for entry in one if (found := NAME.match(entry))}


def rows() -> dict[str, tuple[str, str]]:
    """Return the page's tables: package to version and licence."""
    page = read(ROOT / "docs" / "dependencies.md")
    cells = [[cell.strip(" †") for cell in line.split("|")[1:4]] for line in page.splitlines() if "|" in line]
    return {name: (version, licence) for name, version, licence in cells if NAME.fullmatch(name)}


def licence(package: Distribution) -> str:
    """Return a package's licence as an SPDX expression, from expression, classifiers or text."""
    facts = package.metadata.json
    for field in ("license_expression", "license"):
        stated = str(facts.get(field, ""))
        # Older packages have words, or a whole text, in the second.
        if re.fullmatch(r"[\w.-]+( (OR|AND) [\w.-]+)*", stated):
            return stated
    classifiers = [line.split(" :: ") for line in facts.get("classifier", [])]
    if names := [parts[-1] for parts in classifiers if parts[0] == "License"]:
        return " OR ".join(CLASSIFIERS[name] for name in names)
    [text] = [file.read_text() for file in package.files or [] if file.name.startswith("LICENSE")]
    return CLASSIFIERS[text.splitlines()[0].removeprefix("The ")]


def is_permissive(expression: str) -> bool:
    """Whether one of the alternatives consists of permissive licences only."""
    return any(set(one.strip("() ").split(" AND ")) <= PERMISSIVE for one in expression.split(" OR "))


def installed(lock: str) -> list[Distribution]:
    """Return the packages of a lock file that this platform has."""
    found = []
    for name in re.findall(r"^([a-z0-9._-]+)==", read(ROOT / "requirements" / lock), re.MULTILINE):
        try:
            found.append(distribution(name))
        except PackageNotFoundError:
            assert name in {"colorama", "tzdata"}, f"{name} is in {lock}, and only Windows may go without"
    return found


def test_every_direct_dependency_has_a_row() -> None:
    listed = set(rows()) - {"package"}
    assert listed == direct()


@pytest.mark.parametrize("name", sorted(direct()))
def test_a_row_says_what_the_package_says(name: str) -> None:
    package = distribution(name)
    version, stated = rows()[name]
    assert set(stated.split(" OR ")) == set(licence(package).split(" OR "))
    assert version.split(".")[0] == package.version.split(".")[0], "a new major version: look at it again"


@pytest.mark.parametrize("name", sorted(direct()))
def test_licences_are_permissive(name: str) -> None:
    stated = licence(distribution(name))
    assert is_permissive(stated) or EXCEPTIONS[name] == stated


def test_what_users_get_is_permissive_down_to_the_last_package() -> None:
    packages = installed("run.lock")
    assert len(packages) > len(rows()) / 2
    assert [package.name for package in packages if not is_permissive(licence(package))] == []


def test_a_licence_that_binds_is_not_taken_for_a_permissive_one() -> None:
    assert is_permissive("MIT OR GPL-3.0-only")
    assert is_permissive("Apache-2.0 AND BSD-2-Clause")
    assert not is_permissive("MIT AND GPL-3.0-only")
    assert not is_permissive("LGPL-3.0-only")
