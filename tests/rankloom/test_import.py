"""What importing costs: no model library, no socket, and only what everybody installs."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

from rankloom.errors import MissingExtraError
from rankloom.extras import EXTRAS, installed, require

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "faiss", "transformers", "sentence_transformers", "jnius", "pandas", "tensorflow", "jax", "numba"}
SLOW = HEAVY | {"pyarrow", "scipy", "pydantic", "ir_datasets", "ir_measures", "yaml", "typer", "rich", "syntok", "nltk"}

LOADED = """
import json, socket, sys

def refuse(*args, **kwargs):
    raise AssertionError("a socket was opened")

class Refused(socket.socket):
    __init__ = refuse

socket.socket = Refused
socket.create_connection = socket.getaddrinfo = refuse
exec(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded(code):
    """The packages that a fresh process holds after some code, in which no socket can be opened."""
    told = subprocess.run([sys.executable, "-c", LOADED, code], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return set(json.loads(told.stdout.splitlines()[-1]))


def test_the_package_loads_nothing_that_takes_time():
    assert loaded("import rankloom") & SLOW == set()


def test_the_package_loads_numpy_and_the_standard_library_only():
    bare = loaded("pass")
    foreign = loaded("import rankloom") - bare - set(sys.stdlib_module_names)
    assert foreign == {"rankloom", "numpy"}


@pytest.mark.parametrize(
    "module", ["retrieval", "prf", "rerank", "eval", "cli", "trec", "columns", "config", "models", "reduction"]
)
def test_no_part_loads_a_model_library(module):
    assert loaded(f"import rankloom.{module}") & HEAVY == set()


def test_fusing_and_writing_runs_takes_no_more_than_arrow(tmp_path):
    code = f"""
from rankloom import Run, fuse_runs
runs = [Run.from_dict({{"q": {{"a": 1.0, "b": 0.5}}}}), Run.from_dict({{"q": {{"b": 2.0}}}})]
fuse_runs(runs, method="interpolate", norm="minmax").to_trec({str(tmp_path / "run.trec")!r})
Run.from_trec({str(tmp_path / "run.trec")!r})
"""
    assert loaded(code) & SLOW - {"pandas"} == {"pyarrow"}  # Arrow itself imports pandas, where it is installed


# --- extras ---------------------------------------------------------------------------------------------------------


def test_the_extras_are_those_of_the_project_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["optional-dependencies"]
    assert EXTRAS.keys() <= declared.keys()
    names = packages_distributions()
    for extra, modules in EXTRAS.items():
        wanted = set(declared[extra])
        for inner in ("dense", "serve"):
            wanted |= set(declared[inner]) if f"rankloom[{inner}]" in wanted else set()
        packages = {line.split("[")[0].split(">")[0].replace("_", "-").lower() for line in wanted}
        for module in filter(installed, modules):  # what is not there does not tell its package
            brought = {name.replace("_", "-").lower() for name in names.get(module, [])} or {module.replace("_", "-")}
            assert brought & packages or f"{module}-cpu" in packages, (extra, module)


def test_no_extra_is_needed_by_the_package_itself():
    always = [line for line in requires("rankloom") if "extra ==" not in line]
    assert not any(name in line for line in always for name in ("torch", "faiss", "transformers", "pandas", "ranx"))


def test_a_module_that_is_there_is_imported():
    assert require("json", extra="dense", stage="x").dumps([]) == "[]"
    assert installed("json")


def test_a_missing_module_names_stage_and_extra():
    with pytest.raises(
        MissingExtraError, match=r"^dense: the module 'no_such' is not.*pip install 'rankloom\[dense\]'"
    ):
        require("no_such", extra="dense", stage="dense")
    with pytest.raises(MissingExtraError):
        require("no_such.inner", extra="dense", stage="dense")
    assert not installed("no_such")


def test_a_module_that_is_there_and_broken_is_no_missing_extra(tmp_path, monkeypatch):
    (tmp_path / "broken_for_test.py").write_text("import no_such_either")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_either") as caught:
        require("broken_for_test", extra="dense", stage="dense")
    assert not isinstance(caught.value, MissingExtraError)
