"""What docs/security.md says of code in data, and what CI says of dependencies."""

import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("rankloom", "retrieval", "prf", "rerank", "eval", "training", "serving", "distributed", "examples")
TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
}
#: Driver and workers of one Ray job send each other pickles, as Ray does itself; they are in no file.
RAY = "distributed/cluster.py"


def calls(*names):
    """File -> calls of functions with one of these dotted names."""
    found = {}
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
                found.setdefault(path, []).append(node)
    return found


def test_no_pickle_is_loaded_but_between_processes_of_a_ray_job():
    loaders = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    importing = {
        path
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and any(one.name.split(".")[0] in loaders for one in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in loaders)
    }
    assert importing == {RAY}
    assert calls("pickle.load", "pickle.Unpickler") == {}
    assert calls("torch.load", "pandas.read_pickle", "pd.read_pickle") == {}
    permitted = [node for nodes in calls("np.load", "numpy.load").values() for node in nodes]
    assert permitted
    for node in permitted:  # numpy's default is to refuse pickles
        for keyword in node.keywords:
            assert keyword.arg != "allow_pickle" or ast.unparse(keyword.value) == "False"


def test_ruff_watches_for_pickles_and_is_told_of_ray_alone():
    silenced = {path for path in TREES if re.search(r"noqa:[^#\n]*S301", (ROOT / path).read_text(encoding="utf-8"))}
    assert silenced == {RAY}


def test_remote_code_is_never_trusted():
    told = [
        ast.unparse(node.value)
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code"
    ]
    assert told
    assert set(told) == {"False"}


def test_yaml_is_read_by_safe_loaders():
    unsafe = ("yaml.full_load", "yaml.unsafe_load", "yaml.load_all", "yaml.full_load_all", "yaml.unsafe_load_all")
    assert calls(*unsafe) == {}
    loads = calls("yaml.load")
    for path, nodes in loads.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        loaders = [ast.unparse(one.value) for node in nodes for one in node.keywords if one.arg == "Loader"]
        assert loaders == ["_LOADER"] * len(nodes), path
        assert re.search(r"^_LOADER.*SafeLoader", text, re.MULTILINE), path


@pytest.fixture(scope="module")
def audit():
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FLAW = {"id": "CVE-1", "fix_versions": ["2"]}


@pytest.mark.parametrize(
    ("dependencies", "verdict", "said"),
    [
        ([{"name": "a", "version": "1", "vulns": []}, {"name": "b", "version": "1", "vulns": []}], 0, "2 dependencies"),
        ([{"name": "a", "version": "1", "vulns": [FLAW]}, {"name": "b", "version": "1", "vulns": []}], 1, "CVE-1"),
        ([{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "?"}], 3, "NOT AUDITED: 1 of 2"),
        ([{"name": "a", "version": "1", "vulns": []}], 3, "NOT AUDITED: 1 of 2"),
        ([{"name": "a", "version": "1", "vulns": [FLAW]}, {"name": "b", "skip_reason": "?"}], 1, "NOT AUDITED: 1 of 2"),
    ],
)
def test_an_audit_that_misses_something_is_not_clean(audit, dependencies, verdict, said):
    code, lines = audit.judge(json.dumps({"dependencies": dependencies}), "", 2)
    assert code == verdict
    assert said in "\n".join(lines)


def test_an_audit_without_a_service_says_so(audit):
    code, lines = audit.judge("", "Traceback\nConnectionError: no such host\n", 2)
    assert code == 3
    assert lines == ["NOT AUDITED: no advisory service could be asked (ConnectionError: no such host)"]
