"""A language model that only quotes: the sentence of a prompt's passages that shares most words with the question.

It needs no model file and no network, and is deterministic: for tests, demonstrations, and as the floor that a real
model has to beat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rankloom.context import estimate_tokens
from rankloom.errors import DataError
from rankloom.eval.answers import NO_ANSWER
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel, Prompt
from rankloom.rerank.pruning import split_sentences
from rankloom.retrieval.analysis import EnglishAnalyzer
from rankloom.session import Session

_PROMPT = re.compile(r"(?P<passages>.*)\n\nQuestion: (?P<question>.*)\nAnswer:", re.DOTALL)
_PASSAGE = re.compile(r"^\[(\d+)\] ", re.MULTILINE)


class BestSentence(LanguageModel):
    r"""Answers a prompt of `rankloom.eval.answers.answer_prompt` with one sentence and its citation.

    Words are compared stemmed, stop words left out; of sentences that share as many, the first is quoted. A passage's
    title is no sentence. Says `No answer` where no word is shared.

    Example:
        >>> prompt = Prompt("[1] Bread needs yeast. Air scatters blue light.\n\nQuestion: why blue?\nAnswer:")
        >>> [(_, said)] = BestSentence().generate([prompt], max_tokens=50, session=Session())
        >>> said.text
        'Air scatters blue light. [1]'
    """

    name = "best sentence"
    greedy = True

    def __init__(self) -> None:
        self._analyse = EnglishAnalyzer()

    def fingerprint(self) -> str:
        """A digest of the rules."""
        return digest("best sentence", 1, self._analyse)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        session: Session,  # noqa: ARG002  # it computes nothing that a session decides
    ) -> Iterator[tuple[Prompt, Completion]]:
        """The best sentence of each prompt, cut after `max_tokens` words.

        Raises:
            DataError: A prompt is not of the form that it reads.
        """
        return ((prompt, self._completion(prompt, max_tokens)) for prompt in prompts)

    def _completion(self, prompt: Prompt, max_tokens: int) -> Completion:
        """One completion."""
        found = _PROMPT.fullmatch(prompt.text)
        if found is None:
            raise DataError("reads only prompts made by answer_prompt", stage="BestSentence", value=prompt.text)
        wanted = set(self._analyse(found["question"]))
        best, quoted = 0, NO_ANSWER
        for number, sentence in _sentences(found["passages"]):
            shared = len(wanted & set(self._analyse(sentence)))
            if shared > best:
                best, quoted = shared, f"{sentence} [{number}]"
        words = quoted.split(" ")
        text = " ".join(words[:max_tokens])
        read = estimate_tokens(prompt.system) + estimate_tokens(prompt.text)
        return Completion(text, read, estimate_tokens(text), cut=len(words) > max_tokens)


def _sentences(passages: str) -> list[tuple[str, str]]:
    """Number of the passage and text of each sentence."""
    marks = list(_PASSAGE.finditer(passages))
    ends = [mark.start() for mark in marks[1:]] + [len(passages)]
    found = []
    for mark, end in zip(marks, ends, strict=True):
        text = passages[mark.end() : end]
        title, line, rest = text.partition("\n")
        body = rest if line and rest.strip() else title
        found += [(mark.group(1), body[first:last]) for first, last in split_sentences(body)]
    return found
