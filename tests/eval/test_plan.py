"""What is said before an experiment begins."""

from rankloom.eval.plan import plan_of


def test_pipelines_that_are_the_same_are_named():
    lines = list(plan_of({"a": ["bm25"], "b": ["bm25", "rm3", "bm25"], "c": ["bm25"]}, {}).lines())
    assert lines[-1] == "a and c are the same pipeline; a correction for many tests counts each"
    assert "same pipeline" not in "\n".join(plan_of({"a": ["bm25"], "b": ["bm25", "rm3", "bm25"]}, {}).lines())
