"""Queries that others have encoded and published, against what we make of the same texts."""

import json
from collections import Counter

import pytest

from rankloom.errors import NotFoundError
from rankloom.eval import load_collection, sources
from rankloom.retrieval import InferenceFreeEncoder, LearnedSparse, StoredTerms, WordPieceAnalyzer
from rankloom.retrieval.stored_terms import read_term_queries

SPLADE = "splade_distil_cocodenser_medium"


@pytest.fixture(scope="module")
def folder():
    try:
        data = sources.data_folder()
    except NotFoundError:
        data = None
    if data is None or not (data / "sparse").is_dir():
        pytest.skip("RANKLOOM_DATA is not there")
    return data / "sparse"


def stored(folder, collection, kind):
    return read_term_queries(folder / f"topics.beir-v1.0.0-{collection}.test.{kind}.tsv.gz")


@pytest.fixture(scope="module", params=["scifact", "nfcorpus"])
def collection(request, folder):
    assert folder
    return load_collection(request.param)


def test_subwords_of_queries_are_those_that_anserini_published(folder, collection):
    published = stored(folder, collection.id.split("/")[-2], "wp")
    analyze = WordPieceAnalyzer(folder)
    assert {query.id: Counter(analyze(query.text)) for query in collection.queries} == published


def test_inference_free_queries_weigh_the_published_subwords_by_the_published_table(folder, collection):
    published = stored(folder, collection.id.split("/")[-2], "wp")
    table = json.loads((folder / "idf.json").read_text())
    encoded = InferenceFreeEncoder(folder).encode([query.text for query in collection.queries]).terms
    for query, terms in zip(collection.queries, encoded, strict=True):
        assert terms == {term: table[term] for term in published[query.id] if table[term] > 0}


def test_unicoil_and_splade_queries_can_be_searched_with(folder, collection):
    name = collection.id.split("/")[-2]
    analyze, texts = WordPieceAnalyzer(folder), {query.id: query.text for query in collection.queries}
    documents = {f"about {query_id}": Counter(analyze(text)) for query_id, text in texts.items()}
    index = LearnedSparse.of_terms(documents, scale=1, k=10)
    for kind, more in (("unicoil-noexp", False), (SPLADE, True)):
        queries = stored(folder, name, kind)
        assert queries.keys() == texts.keys()
        expanded = [not terms.keys() <= {*analyze(texts[query_id])} for query_id, terms in queries.items()]
        assert any(expanded) is more
        file = folder / f"topics.beir-v1.0.0-{name}.test.{kind}.tsv.gz"
        run = (StoredTerms(file) >> index).run(collection.queries)
        assert sum(f"about {query_id}" in hits.doc_ids for query_id, hits in run.items()) > 0.9 * len(run)
        for query_id, hits in list(run.items())[:20]:
            asked, held = queries[query_id], documents[hits[0].doc_id]
            assert hits[0].score == sum(held[term] * weight for term, weight in asked.items())
            assert hits[0].explain().score == hits[0].score
