"""Reranking by language models: prompts, the reading of what models say, and the stages that ask.

Who answers is a `rankloom.language_models` backend; which questions are asked is said in `rankloom.rerank.sorting`.
Prompts are data (`prompts/`, `template.py`), and every output passes one parser (`parsing.py`).
"""

from rankloom.rerank.llm.listwise import Listwise
from rankloom.rerank.llm.pairwise import Pairwise
from rankloom.rerank.llm.pointwise import GradedRelevance, QueryLikelihood, YesNo
from rankloom.rerank.llm.setwise import Setwise
from rankloom.rerank.llm.template import Template, load_template, shipped_templates

__all__ = [
    "GradedRelevance",
    "Listwise",
    "Pairwise",
    "QueryLikelihood",
    "Setwise",
    "Template",
    "YesNo",
    "load_template",
    "shipped_templates",
]
