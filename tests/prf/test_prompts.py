"""Every prompt that ships, to the letter: a changed prompt is another method."""

from pathlib import Path

import pytest

import rankloom.prf
from rankloom.prompt_template import PromptTemplate

FOLDER = Path(rankloom.prf.__file__).with_name("prompts")
LIST = "Write nothing but a comma-separated list."
NAMED = "the people, organisations, places, works and other named things"
WHY = "and for each explain in one sentence why it belongs there."
WOULD = "that a document relevant to the query below would"
RENDERED = {
    "hyde_web_search": "Please write a passage to answer the question.\nQuestion: Q\nPassage:",
    "hyde_scifact": "Please write a scientific paper passage to support/refute the claim.\nClaim: Q\nPassage:",
    "hyde_arguana": "Please write a counter argument for the passage.\nPassage: Q\nCounter Argument:",
    "hyde_trec_covid": "Please write a scientific paper passage to answer the question.\nQuestion: Q\nPassage:",
    "hyde_fiqa": "Please write a financial article passage to answer the question.\nQuestion: Q\nPassage:",
    "hyde_trec_news": "Please write a news passage about the topic.\nTopic: Q\nPassage:",
    "query2doc_passage": "Write a passage that answers the given query:\n\nEQuery: Q\nPassage:",
    "grf_keywords": f"List the words and phrases {WOULD} contain. {LIST}\n\nQuery: Q",
    "grf_entities": f"List {NAMED} {WOULD} mention. {LIST}\n\nQuery: Q",
    "grf_cot_keywords": f"List the words and phrases {WOULD} contain, {WHY}\n\nQuery: Q",
    "grf_cot_entities": f"List {NAMED} {WOULD} mention, {WHY}\n\nQuery: Q",
    "grf_queries": "Write ten queries that other people with the information need of the query below would type. "
    "Write one query a line.\n\nQuery: Q",
    "grf_summary": f"Write a short summary, of a few sentences, of what {WOULD[5:]} say.\n\nQuery: Q",
    "grf_facts": "Write a list of facts, in full sentences, that answer the query below.\n\nQuery: Q",
    "grf_document": "Write a document that is relevant to the query below and covers it in full.\n\nQuery: Q",
    "grf_essay": "Write an essay about the query below.\n\nQuery: Q",
    "grf_news": "Write a news article about the query below, as a newspaper would print it.\n\nQuery: Q",
    "prompt_prf_keywords": f"List the words and phrases that tell best what the passage below is about. {LIST}"
    "\n\nPassage: D",
    "prompt_prf_entities": f"List {NAMED} in the passage below. {LIST}\n\nPassage: D",
    "prompt_prf_summary": "Summarise the passage below in two or three sentences. Write nothing but the summary."
    "\n\nPassage: D",
    "prompt_prf_cot_keywords": "Which words and phrases tell best what the passage below is about? First think step by "
    'step about what it says and what it could be searched for by. Then write a last line that begins with "Keywords:" '
    "and lists them, separated by commas.\n\nPassage: D",
    "prompt_prf_essay": "Write a short essay on the subject of the passage below, with what the passage says about it."
    "\n\nPassage: D",
    "prompt_prf_query": "Query: Q\nRelated passages' F:\nP",
}


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.iterdir()))
def test_what_a_prompt_says(name):
    template = PromptTemplate.parsed((FOLDER / f"{name}.txt").read_text(encoding="utf-8"))
    prompt = template.prompt(query="Q", document="D", examples="E", feature="F", passages="P")
    assert (prompt.text, prompt.system) == (RENDERED[name], "")


def test_no_prompt_is_missing():
    assert {path.stem for path in FOLDER.iterdir()} == RENDERED.keys()
