"""Prompts that ship, to the letter; and files that are none."""

import pytest

from rankloom.errors import ConfigError, NotFoundError
from rankloom.rerank.llm import Listwise, Template, load_template, shipped_templates
from tests.rerank.llm.models import Grader

PAIRWISE = """Given a query "why is the sky blue", which of the following two passages is more relevant to the query?

Passage A: "Air scatters {light}."

Passage B: "Bread."

Output Passage A or Passage B:"""
SETWISE = """Given a query "why is the sky blue", which of the following passages is the most relevant one to the query?

Passage A: "Air scatters {light}."

Passage B: "Bread."

Output only the passage label of the most relevant passage:"""
RANK_R1 = """Given the query: "why is the sky blue", which of the following documents is most relevant?
[1] Air scatters {light}.
[2] Bread.
After completing the reasoning process, please provide only the label of the most relevant document to the query, \
enclosed in square brackets, within the answer tags. For example, if the third document is the most relevant, the \
answer should be: <think> reasoning process here </think> <answer>[3]</answer>."""
RANK_VICUNA = """I will provide you with 2 passages, each indicated by a numerical identifier []. Rank the passages \
based on their relevance to the search query: why is the sky blue.

[1] Air scatters {light}.
[2] Bread.
Search Query: why is the sky blue.
Rank the 2 passages above based on their relevance to the search query. All the passages should be included and \
listed using identifiers, in descending order of relevance. The output format should be [] > [], e.g., [4] > [2], \
Only respond with the ranking results, do not say any word or explain. """
RANK_GPT = """I will provide you with 2 passages, each indicated by number identifier [].
Rank the passages based on their relevance to query: why is the sky blue.

[1] Air scatters {light}.
[2] Bread.

Search Query: why is the sky blue.
Rank the 2 passages above based on their relevance to the search query. The passages should be listed in descending \
order using identifiers. The most relevant passages should be listed first. The output format should be [] > [], \
e.g., [1] > [2]. Only response the ranking results, do not say any word or explain."""
RANK_R1_SYSTEM = """A conversation between User and Assistant. The user asks a question, and the Assistant solves it. \
The assistant first thinks about the reasoning process in the mind and then provides the user with the answer. The \
reasoning process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., \
<think> reasoning process here </think> <answer> answer here </answer>."""
ASSISTANT = "an intelligent assistant that can rank passages based on their relevancy to the query."
TEXTS = ["Air scatters {light}.", "Bread."]  # braces of a passage are braces


@pytest.mark.parametrize(
    ("name", "text", "system"),
    [
        ("pairwise", PAIRWISE, ""),
        ("setwise", SETWISE, ""),
        ("rank_r1", RANK_R1, RANK_R1_SYSTEM),
        ("rank_vicuna", RANK_VICUNA, f"You are RankVicuna, {ASSISTANT}"),
        ("rank_gpt", RANK_GPT, f"You are RankGPT, {ASSISTANT}"),
    ],
)
def test_prompts_of_several_passages(name, text, system):
    prompt = load_template(name).showing("why is the sky blue", TEXTS)
    assert prompt.text == text
    assert prompt.system == system


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "yes_no",
            """Passage: Air scatters {light}.
Query: why is the sky blue
Does the passage answer the query? Answer 'Yes' or 'No'""",
        ),
        ("query_likelihood", "Passage: Air scatters {light}.\nPlease write a question based on this passage."),
        (
            "graded",
            """From a scale of 0 to 4, judge the relevance between the query and the document.
Query: why is the sky blue
Document: Air scatters {light}.
Output:""",
        ),
    ],
)
def test_prompts_of_one_passage(name, text):
    assert load_template(name).showing("why is the sky blue", TEXTS[:1], highest="4").text == text


def test_every_prompt_that_ships_is_tested_here():
    several = {"pairwise", "setwise", "rank_r1", "rank_vicuna", "rank_gpt"}
    assert set(shipped_templates()) == several | {"yes_no", "query_likelihood", "graded"}
    assert all(load_template(name).about for name in shipped_templates())


def test_labels():
    assert [load_template("setwise").label(place) for place in (0, 1, 22)] == ["A", "B", "W"]
    assert [load_template("rank_gpt").label(place) for place in (0, 19)] == ["[1]", "[20]"]
    assert (load_template("setwise").most, load_template("yes_no").most) == (23, 1)


def test_a_file_of_your_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('labels = "numbers"\npassage = "{label} {text}"\ntext = "{query}? {passages}"\n')
    template = load_template(str(path))
    assert template.showing("why", ["a", "b"]).text == "why? [1] a\n[2] b"
    assert template == Template("{query}? {passages}", passage="{label} {text}", labels="numbers")
    before = Listwise(Grader(), prompt=str(path)).fingerprint()
    path.write_text('labels = "numbers"\npassage = "{label}: {text}"\ntext = "{query}? {passages}"\n')
    assert Listwise(Grader(), prompt=str(path)).fingerprint() != before


@pytest.mark.parametrize(
    "content",
    [
        "text = ",
        'labels = "numbers"\npassage = "{text}"\ntext = "{query}"',
        'labels = "numbers"\npassage = "{label}"\ntext = "{query} {passages}"',
        'labels = "numbers"\npassage = "{text}"\ntext = "{question} {passages}"',
        'labels = "roman"\npassage = "{text}"\ntext = "{query} {passages}"',
        'labels = "numbers"\npassage = "{text}"\ntext = "{query} {passages}"\ncolour = "red"',
        'labels = "numbers"\npassage = "{text}"\ntext = 5',
    ],
)
def test_a_file_that_is_no_prompt(tmp_path, content):
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match="the file is no prompt"):
        load_template(str(path))


def test_a_name_that_nobody_knows():
    with pytest.raises(NotFoundError, match="did you mean 'setwise'"):
        load_template("setwize")
    with pytest.raises(NotFoundError, match="there is no such prompt"):
        load_template("nowhere/mine.toml")
