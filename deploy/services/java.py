"""Where the JDK and Cassandra's jars come from; `cassandra` runs the one on the other.

Cassandra has no package in Debian. Its jars are fetched once by Maven into a folder that all users of this account's
cache share, and used from there; `pom.xml` beside this file pins the version.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from .errors import Unavailable
from .service import run

POM: Final = Path(__file__).with_name("pom.xml")
CASSANDRA: Final = "5.0.5"
JAMM: Final = "jamm-0.4.0.jar"
JDK: Final = 17


def java() -> str:
    """Return the program of a JDK 17: newer ones refuse what Cassandra 5.0 does with its own insides.

    Raises: `Unavailable`.
    """
    homes = [Path(os.environ["JAVA_HOME"])] if "JAVA_HOME" in os.environ else []
    homes += sorted(Path("/usr/lib/jvm").glob("*"))
    if found := shutil.which("java"):
        homes.append(Path(found).resolve().parents[1])
    for home in homes:
        try:
            release = (home / "release").read_text()
        except OSError:
            continue
        if re.search(rf'^JAVA_VERSION="{JDK}\.', release, re.MULTILINE) and (home / "bin" / "java").exists():
            return str(home / "bin" / "java")
    raise Unavailable(f"Java {JDK} is not installed; on Debian: apt-get install openjdk-{JDK}-jre-headless.")


def default_jars() -> Path:
    """Return where the jars are kept unless somebody says otherwise."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "chappe" / f"cassandra-{CASSANDRA}"


def check_jars(folder: Path) -> None:
    """Return if the jars are there or can be fetched. Raises: `Unavailable`."""
    if not folder.exists() and shutil.which("mvn") is None:
        raise Unavailable(
            f"Cassandra's jars are not in {folder}, and Maven is not installed; on Debian: apt-get install maven."
        )


def fetch_jars(folder: Path) -> None:
    """Have Maven fill the folder, about 66 MB, unless it is there: whole or not at all.

    Raises: `Unavailable` when Maven fails, as it does without a network.
    """
    if folder.exists():
        return
    check_jars(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as partial:
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={partial}/lib"]
        quiet = ["--batch-mode", "--quiet", "--strict-checksums"]
        run([str(shutil.which("mvn")), *quiet, "-f", str(POM), *goal], "Fetching Cassandra with Maven")
        try:
            (Path(partial) / "lib").rename(folder)
        except OSError:
            if not folder.exists():  # else somebody else was faster, with the same jars
                raise
