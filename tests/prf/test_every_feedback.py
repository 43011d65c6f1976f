"""What every feedback stage does where there is little to feed back; each over a real index of its own kind."""

from typing import NamedTuple

import numpy as np
import pytest

from rankloom import Document, Run, Session
from rankloom.corpus import Corpus
from rankloom.encoders import SentenceEncoder
from rankloom.errors import DataError
from rankloom.prf import KL, RM3, Bo1, ColBERTPRF, SparseVectorPRF, TermRocchio, TextPRF, VectorPRF
from rankloom.registry import BUILT_IN, stage_class
from rankloom.retrieval import BM25, Dense, LearnedSparse, MultiVector
from rankloom.stage import Feedback, Stage
from rankloom.weighted_terms import SparseEncoded
from tests.tiny_models import tiny_colbert, tiny_encoder

TEXTS = {
    "blank": " \n",
    "empty": "",
    "rain": "rain snow rain",
    "sand": "sand",
    "stops": "the of and",
    "twin1": "snow sleet storm",
    "twin2": "snow sleet storm",
    "wind": "rain wind hail",
}
TEXTS |= {f"other{number}": f"word{number}" for number in range(40)}  # so that no term is in a tenth of the documents
CORPUS = Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()])
SESSION = Session(offline=True, device="cpu")
#: Stages that ask a model of their own; what they do here is tested with it, in their own files.
ELSEWHERE = {"learned_prf", "prompt_prf", "hyde", "query2doc", "grf"}


class Words:
    """Each word weighs 1; of a text without words, nothing does."""

    def fingerprint(self):
        return "words"

    def encode(self, texts, *, role, session):  # noqa: ARG002
        none = np.zeros(len(texts), dtype=np.int64)
        return SparseEncoded([dict.fromkeys(text.split(), 1.0) for text in texts], none, none, 0)


class Case(NamedTuple):
    """A feedback stage and what stands behind it.

    Args:
        make: The stage for a number of documents, over the retriever.
        index: Which retriever: one of those that the fixture `retrievers` makes.
        skips: Whether documents without words are passed over, and noted; or else count by what the index holds.
        answers: Whether the stage leaves a ranking itself.
        reads_index: Whether it reads documents from the index of the retriever; or else their texts.
    """

    make: object
    index: str
    skips: bool = True
    answers: bool = False
    reads_index: bool = True


CASES = {
    "rm3": Case(lambda docs, index: RM3(docs=docs, retriever=index), "bm25"),
    "term_rocchio": Case(lambda docs, index: TermRocchio(docs=docs, retriever=index), "bm25"),
    "bo1": Case(lambda docs, index: Bo1(docs=docs, retriever=index), "bm25"),
    "kl": Case(lambda docs, index: KL(docs=docs, retriever=index), "bm25"),
    "sparse_vector_prf": Case(lambda docs, index: SparseVectorPRF(docs=docs, retriever=index), "sparse"),
    "vector_prf": Case(lambda docs, index: VectorPRF(docs=docs, retriever=index), "dense", skips=False),
    "colbert_prf": Case(lambda docs, index: ColBERTPRF(docs=docs, retriever=index), "tokens"),
    "text_prf": Case(lambda docs, index: TextPRF(index, docs=docs), "bm25", answers=True, reads_index=False),
    "text_prf, one query": Case(lambda docs, _: TextPRF(docs=docs, method="truncate"), "bm25", reads_index=False),
}


@pytest.fixture(scope="module")
def retrievers(tmp_path_factory):
    """A retriever of each kind over the same documents."""
    folder = tmp_path_factory.mktemp("models")
    encoder = SentenceEncoder(str(tiny_encoder(folder / "dense")))
    weights = {
        doc_id: {word: float(text.split().count(word)) for word in text.split()} for doc_id, text in TEXTS.items()
    }
    return {
        "bm25": BM25.of(CORPUS),
        "sparse": LearnedSparse.of_terms(weights, queries=Words(), corpus=CORPUS),
        "dense": Dense.of(CORPUS, encoder=encoder, session=SESSION),
        "tokens": MultiVector.of(CORPUS, model=str(tiny_colbert(folder / "colbert")), session=SESSION),
    }


def ranked(hits, text):
    """A run of one query with hits of given scores."""
    return Run.from_dict({"q": hits}, queries={"q": text}, documents=CORPUS, session=SESSION)


@pytest.fixture(params=list(CASES))
def fed(request, retrievers):
    """Hits and text of a query -> what is found after feedback, and the notes of the feedback stage."""
    case = CASES[request.param]
    index = retrievers[case.index]

    def answer(hits, text="rain", docs=3):
        stage: Stage = case.make(docs, index)
        after = stage.run(ranked(hits, text))
        notes = [(note.kind, note.doc_id) for note in after.ledger.notes if note.stage == stage.name]
        found = after if case.answers else index.run(after)
        return told(found), notes

    def plain(text):
        return told(index.run({"q": text}, session=SESSION))

    def told(run):
        hits = run["q"]  # votes of one query are no scores: only their order tells something
        return dict(zip(hits.doc_ids, range(len(hits)) if case.answers else hits.scores, strict=True))

    answer.case, answer.plain = case, plain
    return answer


def test_every_stage_is_here():
    words = {word for word in BUILT_IN if issubclass(stage_class(word), Feedback)}
    assert words - ELSEWHERE == {name.partition(",")[0] for name in CASES}


def test_feedback_changes_what_is_found(fed):
    found, notes = fed({"rain": 2.0, "twin1": 1.0})
    assert found != fed.plain("rain")
    assert notes == []


def test_without_documents_the_query_stays(fed):
    found, notes = fed({})
    assert found == pytest.approx(fed.plain("rain"))
    assert notes == [("no_feedback", "")]


def test_an_empty_query_stays_empty(fed):
    found, notes = fed({"rain": 2.0}, text=" ")
    assert found == {}
    assert ("no_feedback", "") in notes


def test_fewer_documents_than_asked_for(fed):
    hits = {"rain": 2.0, "twin1": 1.0}
    assert fed(hits, docs=50) == fed(hits, docs=2)


def test_a_document_without_words_gives_nothing(fed):
    hits = {"empty": 3.0, "blank": 2.0}
    found, notes = fed(hits)
    if fed.case.skips:
        assert found == pytest.approx(fed.plain("rain"))
        assert {kind for kind, doc_id in notes if doc_id} == {"empty_document"}
        assert {doc_id for kind, doc_id in notes if doc_id} == {"empty", "blank"}
        assert ("no_feedback", "") in notes
        beside, notes = fed({"empty": 3.0, "rain": 2.0}, docs=2)
        assert beside == pytest.approx(fed({"rain": 2.0}, docs=1)[0])
        assert [kind for kind, _ in notes] == ["empty_document"]
    else:  # the index holds a vector for it, which counts as any other
        assert notes == []
        assert found != pytest.approx(fed.plain("rain"))


def test_documents_of_equal_text_count_each(fed):
    one, notes = fed({"twin1": 1.0, "twin2": 1.0, "rain": 0.5})
    assert notes == []
    assert one["twin1"] == one["twin2"] or fed.case.answers
    other, _ = fed({"rain": 0.5, "twin2": 1.0, "twin1": 1.0})
    assert one == other
    assert one != pytest.approx(fed({"twin1": 1.0, "rain": 0.5})[0])


def test_nothing_but_stop_words(fed):
    found, notes = fed({"stops": 1.0})
    if fed.case.index == "bm25":  # whose analyzer drops them
        assert found == pytest.approx(fed.plain("rain"))
        said = [("empty_document", "stops"), ("no_feedback", "")]
        assert notes == (said if fed.case.reads_index else [])
    else:  # a model knows no stop words
        assert notes == []
        assert found != pytest.approx(fed.plain("rain"))


def test_documents_that_the_index_does_not_hold(fed):
    if not fed.case.reads_index:
        with pytest.raises(DataError, match="elsewhere"):
            fed({"elsewhere": 1.0})
        return
    found, notes = fed({"elsewhere": 1.0})
    assert found == pytest.approx(fed.plain("rain"))
    assert notes == [("unread_document", "elsewhere"), ("no_feedback", "")]
    beside, notes = fed({"elsewhere": 2.0, "rain": 1.0}, docs=2)
    assert beside == pytest.approx(fed({"rain": 1.0}, docs=1)[0])
    assert notes == [("unread_document", "elsewhere")]


TOO_FREQUENT = "each term is in more than 0.1 (max_df) of the index's 2 documents"


@pytest.mark.parametrize(
    ("stage", "terms", "said"),
    [
        (RM3(docs=1), {"snow": 1.0}, [TOO_FREQUENT]),
        (RM3(docs=1, max_df=1.0), {"snow": 0.75, "rain": 0.25}, []),
        (TermRocchio(docs=1), {"snow": 1.0}, [TOO_FREQUENT]),
        (Bo1(docs=1), {"snow": 2.0, "rain": 0.9217}, []),
        (KL(docs=1), {"snow": 2.0}, []),  # `rain` is as frequent as it is everywhere
    ],
)
def test_in_a_tiny_corpus_terms_are_added_or_it_is_said_why_not(stage, terms, said):
    index = BM25.of(Corpus.of([Document("a", "rain snow"), Document("b", "rain sand")]))
    after = (index >> stage.bound(index)).run({"q": "snow"})
    assert after.queries[0].terms == pytest.approx(terms, abs=1e-4)
    assert [note.detail for note in after.ledger.notes] == said
