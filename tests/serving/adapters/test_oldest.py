"""The lower bounds of the extras are the versions that `make test-oldest` tests; all else tests newer ones."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[3]


def pinned(path):
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    named = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {one.name: Version(str(one.specifier).removeprefix("==")) for one in named}


@pytest.mark.parametrize("extra", ["langchain", "llamaindex", "haystack"])
def test_bounds_are_what_is_tested(extra):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [host] = map(Requirement, project["optional-dependencies"][extra])
    oldest = pinned("tests/serving/oldest.txt")[host.name]
    assert str(host.specifier) == f">={oldest}"
    assert pinned("constraints.txt")[host.name] > oldest
