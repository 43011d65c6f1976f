"""Dependencies point one way: stage folders to the core; evaluation, training, serving and jobs to both."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = ("retrieval", "prf", "rerank")
FOLDERS = (*STAGES, "eval", "training", "serving", "distributed")
#: What each folder may import of the others; every folder may import the core.
MAY_IMPORT = {
    "rankloom": set(),
    "retrieval": set(),
    "prf": set(),
    "rerank": set(),
    "eval": set(STAGES),
    "training": {*STAGES, "eval"},
    "serving": {*STAGES, "eval"},
    "distributed": {*STAGES, "eval"},
}
#: Parts of the core folder that put everything together.
ON_TOP = ("rankloom/cli/", "rankloom/__main__.py")


def files(folder):
    return [path for path in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in path.parts]


def imports(path):
    """Dotted names that a file imports anywhere: at the top, in functions, for type checking only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {"." * node.level + (node.module or "")}
            found |= {f"{node.module}.{alias.name}" for alias in node.names if not node.level}
    return found


def folders_of(names):
    """The folders of ours that dotted names point into."""
    parts = [name.split(".") for name in names if name.startswith("rankloom.")]
    return {second for _, second, *_ in parts if second in FOLDERS}


def on_top(path):
    return str(path.relative_to(ROOT)).startswith(ON_TOP)


def test_there_is_something_to_test():
    assert len(files("rankloom")) > 20
    assert all(files(folder) for folder in STAGES)
    assert "rankloom.run" in imports(ROOT / "rankloom" / "stage.py")
    assert "rankloom.pipeline.Pipeline" in imports(ROOT / "rankloom" / "stage.py")  # inside TYPE_CHECKING


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_what_it_may(folder):
    wrong = {
        str(path.relative_to(ROOT)): sorted(found)
        for path in files(folder)
        if not on_top(path) and (found := folders_of(imports(path)) - MAY_IMPORT[folder] - {folder})
    }
    assert wrong == {}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_are_absolute(folder):
    assert [str(path) for path in files(folder) if any(name.startswith(".") for name in imports(path))] == []


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_folders_are_imported_by_their_installed_names(folder):
    """`import retrieval` works in a checkout and nowhere else."""
    wrong = {
        str(path.relative_to(ROOT)): sorted(bare)
        for path in files(folder)
        if (bare := {name for name in imports(path) if name.split(".")[0] in FOLDERS})
    }
    assert wrong == {}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_nothing_imports_the_command_line_or_the_tests(folder):
    for path in files(folder):
        names = imports(path)
        assert not any(name.split(".")[0] == "tests" for name in names), path
        assert on_top(path) or not any(name.startswith("rankloom.cli") for name in names), path


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_only_the_conformance_tests_need_pytest(folder):
    need = {path.name for path in files(folder) if any(name.split(".")[0] == "pytest" for name in imports(path))}
    assert need <= {"testing.py"}


def test_nothing_sorts_hits_but_the_ordering_rule():
    """`argsort`, `lexsort` and `argpartition` order things by hand; in the core only the one rule does."""
    calls = {}
    for path in files("rankloom"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("argsort", "lexsort", "argpartition"):
                calls.setdefault(path.name, []).append(node.attr)
    assert calls.pop("order.py")
    assert calls.keys() <= {"columns.py", "result_cache.py"}  # these put queries, not hits, in order
