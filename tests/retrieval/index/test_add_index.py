"""Adding whole indexes to an index."""

import pytest

from rankloom.errors import DataError, UsageError
from rankloom.retrieval.analysis import EnglishAnalyzer
from rankloom.retrieval.index.impact_index import ImpactIndex
from rankloom.retrieval.index.writer import ImpactIndexWriter

TEXTS = {f"d{number:03}": f"sky blue {'sea ' * (number % 5)}tide{number % 7}" for number in range(60)}


def written(folder, texts, **settings):
    with ImpactIndexWriter(folder, analyzer=EnglishAnalyzer(), **settings) as writer:
        writer.add_texts(texts.items())
    return folder


def columns(folder):
    return {path.name: path.read_bytes() for path in next((folder / "segments").iterdir()).iterdir()}


@pytest.mark.parametrize("term_vectors", [False, True])
def test_parts_merge_into_the_bytes_of_one_index(tmp_path, term_vectors):
    items = list(TEXTS.items())
    with ImpactIndexWriter(tmp_path / "all", analyzer=EnglishAnalyzer(), term_vectors=term_vectors) as writer:
        for first in (0, 25, 30):
            part = dict(items[first : {0: 25, 25: 30, 30: 60}[first]])
            writer.add_index(written(tmp_path / f"part{first}", part, term_vectors=term_vectors))
        writer.merge()
    assert columns(tmp_path / "all") == columns(written(tmp_path / "one", TEXTS, term_vectors=term_vectors))
    assert len(ImpactIndex.open(tmp_path / "part25", verify=True)) == 5  # left as it was


def test_documents_of_one_s_own_stand_before_and_after(tmp_path):
    other = written(tmp_path / "other", {"d5": "blue sea"})
    with ImpactIndexWriter(tmp_path / "index", analyzer=EnglishAnalyzer()) as writer:
        writer.add_texts([("d1", "sky")])
        writer.add_index(other)
        writer.add_texts([("d9", "blue")])
    index = ImpactIndex.open(tmp_path / "index")
    assert list(index.ids) == ["d1", "d5", "d9"]
    assert index.document_frequencies(["blue"]).tolist() == [2]


@pytest.mark.parametrize("there", [{"d1": "sky", "d9": "sea"}, {"d5": "sky"}])
def test_an_id_that_is_there_already_is_refused(tmp_path, there):
    other = written(tmp_path / "other", {"d5": "blue sea", "d9": "sky"})
    writer = ImpactIndexWriter(tmp_path / "index", analyzer=EnglishAnalyzer())
    writer.add_texts(there.items())
    with pytest.raises(DataError, match="d9" if "d9" in there else "d5"):
        writer.add_index(other)
    writer.close()


def test_an_index_that_was_begun_otherwise_is_refused(tmp_path):
    with ImpactIndexWriter(tmp_path / "index", analyzer=EnglishAnalyzer()) as writer:
        for number, settings in enumerate(({"term_vectors": True}, {"fields": ["title"]})):
            other = tmp_path / f"other{number}"
            ImpactIndexWriter(other, analyzer=EnglishAnalyzer(), **settings).__exit__(None, None, None)
            with pytest.raises(UsageError, match="the other index was begun otherwise"):
                writer.add_index(other)
        ImpactIndexWriter(tmp_path / "stemless", analyzer=EnglishAnalyzer(stem=False)).__exit__(None, None, None)
        with pytest.raises(UsageError, match="the other index was begun otherwise"):
            writer.add_index(tmp_path / "stemless")


def test_deleted_documents_are_refused(tmp_path):
    other = written(tmp_path / "other", {"d5": "blue sea", "d6": "sky"})
    with ImpactIndexWriter(other, analyzer=EnglishAnalyzer()) as writer:
        writer.delete(["d5"])
    with (
        ImpactIndexWriter(tmp_path / "index", analyzer=EnglishAnalyzer()) as writer,
        pytest.raises(UsageError, match=r"documents of the other index are deleted.*merge it first"),
    ):
        writer.add_index(other)
