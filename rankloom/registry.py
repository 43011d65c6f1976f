"""The words for stages: what YAML and the command line call them, and where their classes are.

Adding a stage to this project means its file, one line here, and one conformance test. Other packages register
theirs under the entry-point group `rankloom.stages` (`word = "module:Class"`); a stage of a module on the path can
also be named outright as `module:Class`.
"""

from __future__ import annotations

from functools import cache

from rankloom.named_classes import class_of, known_words
from rankloom.stage import Stage

GROUP = "rankloom.stages"
BUILT_IN: dict[str, str] = {
    "bm25": "rankloom.retrieval.bm25:BM25",
    "lucene": "rankloom.retrieval.lucene.stage:Lucene",
    "rank_bm25": "rankloom.retrieval.rank_bm25:RankBM25",
    "dense": "rankloom.retrieval.dense:Dense",
    "multi_vector": "rankloom.retrieval.multi_vector:MultiVector",
    "milvus": "rankloom.retrieval.milvus.stage:Milvus",
    "learned_sparse": "rankloom.retrieval.learned_sparse:LearnedSparse",
    "stored_terms": "rankloom.retrieval.stored_terms:StoredTerms",
    "candidates": "rankloom.eval.candidates:Candidates",
    "judged": "rankloom.eval.judged_documents:JudgedDocuments",
    "rm3": "rankloom.prf.rm3:RM3",
    "term_rocchio": "rankloom.prf.term_rocchio:TermRocchio",
    "bo1": "rankloom.prf.bo1:Bo1",
    "kl": "rankloom.prf.kl:KL",
    "text_prf": "rankloom.prf.text:TextPRF",
    "prompt_prf": "rankloom.prf.prompt:PromptPRF",
    "hyde": "rankloom.prf.hyde:HyDE",
    "query2doc": "rankloom.prf.query2doc:Query2Doc",
    "grf": "rankloom.prf.grf:GRF",
    "sparse_vector_prf": "rankloom.prf.sparse_vector:SparseVectorPRF",
    "colbert_prf": "rankloom.prf.token_vector:ColBERTPRF",
    "learned_prf": "rankloom.prf.learned:LearnedPRF",
    "vector_prf": "rankloom.prf.vector:VectorPRF",
    "interpolated_feedback": "rankloom.prf.interpolated:InterpolatedFeedback",
    "cross_encoder": "rankloom.rerank.cross_encoder:CrossEncoder",
    "bi_encoder": "rankloom.rerank.bi_encoder:BiEncoder",
    "stored_vectors": "rankloom.rerank.stored_vectors:StoredVectors",
    "stored_token_vectors": "rankloom.rerank.stored_token_vectors:StoredTokenVectors",
    "late_interaction": "rankloom.rerank.late_interaction:LateInteraction",
    "prettr": "rankloom.rerank.prettr:PreTTR",
    "causal_reranker": "rankloom.rerank.causal_reranker:CausalReranker",
    "mono_t5": "rankloom.rerank.mono_t5:MonoT5",
    "duo": "rankloom.rerank.duo:Duo",
    "tk": "rankloom.rerank.tk:TK",
    "cascade": "rankloom.rerank.cascade:Cascade",
    "idcm": "rankloom.rerank.idcm:IDCM",
    "provence": "rankloom.rerank.pruning.provence:Provence",
    "sentence_pruner": "rankloom.rerank.pruning.encoder:SentencePruner",
    "sentence_cross_encoder": "rankloom.rerank.pruning.cross_encoder:SentenceCrossEncoder",
    "citation_pruner": "rankloom.rerank.pruning.citations:CitationPruner",
    "lead_pruner": "rankloom.rerank.pruning.lead:LeadPruner",
    "oracle_pruner": "rankloom.rerank.pruning.oracle:OraclePruner",
    "pairwise": "rankloom.rerank.llm.pairwise:Pairwise",
    "setwise": "rankloom.rerank.llm.setwise:Setwise",
    "listwise": "rankloom.rerank.llm.listwise:Listwise",
    "yes_no": "rankloom.rerank.llm.pointwise:YesNo",
    "query_likelihood": "rankloom.rerank.llm.pointwise:QueryLikelihood",
    "graded_relevance": "rankloom.rerank.llm.pointwise:GradedRelevance",
    "source_filter": "rankloom.rerank.source_weight:SourceFilter",
    "source_weight": "rankloom.rerank.source_weight:SourceWeight",
    "top": "rankloom.pipeline:Top",
}


@cache
def stage_words() -> dict[str, str]:
    """All known words and their `module:Class`; a word that is taken, by this package above all, can not be taken over.

    A stage whose word is taken is named in a warning, and can still be had as `module:Class`.
    """
    return known_words(BUILT_IN, group=GROUP, kind="stage")


def stage_class(word: str) -> type[Stage]:
    """The class a word stands for.

    Args:
        word: A registered word, or `module:Class`.

    Raises:
        ConfigError: The word is unknown, or what it names can not be imported or is not a stage.

    Example:
        >>> stage_class("top").__name__
        'Top'
    """
    return class_of(word, stage_words(), Stage, kind="stage")  # type: ignore[type-abstract]  # subclasses of it
