"""Pairs of all tasks of a recipe, and what is counted of them."""

from collections import Counter

from rankloom import Corpus, Document
from rankloom.training.pretraining import task_pairs
from rankloom.training.pretraining_config import CorpusSource, Tasks
from tests.training.pages import linked_pages

SOURCE = CorpusSource(name="pages", licence="CC0", corpus="unused")


def counted(*names):
    """Counts of a corpus with one passage without a page, by some tasks: of all of them, and of each."""
    stray = Document("stray", "A passage of no page. It has two sentences.")
    corpus = Corpus.of([*linked_pages(24), stray])
    common, each = Counter(), {}
    for task, pairs, skipped in task_pairs(Tasks(**{name: {} for name in names}), corpus, SOURCE, common, seed=7):
        assert len(list(pairs)) > 10
        each[task] = +skipped
    return common, each


def test_what_is_left_out_is_counted_once_and_by_task():
    common, each = counted("ict", "bfs", "wlp")
    assert common == {"passages without a page": 1}
    assert each["wlp"]["pages that no page links to"] == 1
    assert "pages that no page links to" not in each["bfs"]
    assert each["bfs"]["pages of one passage"] > 0
    assert "pages of one passage" not in each["ict"]


def test_a_task_counts_the_same_beside_others_as_alone():
    _, together = counted("ict", "bfs", "wlp")
    for task, counts in together.items():
        assert counted(task)[1] == {task: counts}
    assert counted("bfs")[0] == {"passages without a page": 1}
    assert counted("ict")[0] == {}
