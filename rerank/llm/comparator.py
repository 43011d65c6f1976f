"""Questions about hits as prompts, and outputs as answers: what comparators by language models share."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from rankloom.encoders import truncation_note
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel, Prompt, complete
from rankloom.ledger import Note, NoteKind
from rankloom.likelihood import Continuation, log_likelihoods, scoring_model
from rankloom.prompt_room import Showing, Size, words_with_room
from rankloom.rerank.llm.parsing import Repair, read_label
from rankloom.rerank.llm.template import Template
from rankloom.rerank.sorting.question import Answer
from rankloom.rerank.sorting.reranker import QueryHits
from rankloom.rerank.sorting.runner import Answered, Asked
from rankloom.session import Session

#: Whether a model writes its answer, or is asked how likely it holds each.
Scoring = Literal["generation", "likelihood"]
#: Places of passages in a prompt, best first: all, or only the best; none where nothing can be told.
Places = tuple[int, ...]
_WORD = re.compile(r"\S+")
_SHOWN = 80  # characters that a note shows of an output


@dataclass(frozen=True, slots=True)
class Asking:
    """How a language model is asked.

    Args:
        model: Who is asked.
        template: The prompt.
        max_tokens: Limit of an output.
        passage_words: Words that are shown of a passage, if the model has room for them.
        passages: How many passages a prompt shows at most.
        scoring: Whether it writes its answer, or is asked how likely it holds each label.
        session: Its cache remembers outputs.
        stage: Who asks, for notes and errors.
    """

    model: LanguageModel
    template: Template
    max_tokens: int
    passage_words: int
    passages: int
    scoring: Scoring
    session: Session
    stage: str


class PromptComparator(ABC):
    """Answers questions about hits by asking a language model.

    A subclass says which hits a prompt shows, in which order, and what the outputs mean together. Before anything is
    asked, it is found out for each query how many words of a passage can be shown, so that any prompt fits the model.

    Args:
        lists: The queries and their hits.
        asking: How the model is asked.

    Raises:
        DataError: A prompt does not fit even with a word of each passage; or a passage has to be cut, and the session's
            policy is `error`.
    """

    calls_each = 1

    def __init__(self, lists: Sequence[QueryHits], asking: Asking) -> None:
        self.lists, self.asking = lists, asking
        self._texts: dict[tuple[int, int], str] = {}
        self._notes: list[Note] = []
        self._words = words_with_room(
            asking.model,
            [self._showing(one) for one in lists],
            words=asking.passage_words,
            max_tokens=asking.max_tokens,
            session=asking.session,
            stage=asking.stage,
        )
        if asking.session.on_truncate == "error":
            for query, one in enumerate(lists):
                for hit in range(len(one.documents)):
                    self._text(query, hit)

    @abstractmethod
    def shown(self, asked: Asked) -> list[tuple[int, ...]]:
        """For each prompt of a question, the hits that it shows, in order; as many prompts as `calls_each`."""

    @abstractmethod
    def decide(self, asked: Asked, ranked: Sequence[tuple[int, ...]]) -> Answer:
        """The answer to a question.

        Args:
            asked: The question.
            ranked: For each prompt, the hits that come out, best first: all, or only the best; or none.
        """

    def read(self, query: int, said: Completion, passages: int) -> Places:
        """What an output says: by default a label. What is to be said of it is noted."""
        labels = [self.asking.template.label(place) for place in range(passages)]
        found = read_label(said.text, labels, tagged=self.asking.template.tagged)
        if found.verdict == "unreadable":
            self.note_unparsed(query, said)
        else:
            self.note_repairs(query, found.repairs)
        return () if found.place is None else (found.place,)

    def answer(self, asked: Sequence[Asked]) -> Answered:
        """Answer some questions: all prompts as one batch."""
        shown = [(one.query, members) for one in asked for members in self.shown(one)]
        prompts = [self._prompt(query, members) for query, members in shown]
        told = self._generated(shown, prompts) if self.asking.scoring == "generation" else self._scored(shown, prompts)
        ranked = (tuple(members[place] for place in own) for (_, members), own in zip(shown, told.answers, strict=True))
        answers = [self.decide(one, list(islice(ranked, self.calls_each))) for one in asked]
        notes, self._notes = self._notes, []
        return replace(told, answers=answers, notes=notes)

    def note_repairs(self, query: int, repairs: Mapping[Repair, int]) -> None:
        """Note that an output was repaired, if it was."""
        if repairs:
            kinds = ", ".join(f"{count} {kind}" for kind, count in repairs.items())
            self.note("repaired_output", query, amount=sum(repairs.values()), detail=kinds)

    def note_unparsed(self, query: int, said: Completion) -> None:
        """Note that an output says nothing that can be read."""
        shown = repr(said.text[:_SHOWN]) if said.text.strip() else "nothing"
        self.note("unparsed_output", query, detail=f"{shown}; cut at {said.written} tokens" if said.cut else shown)

    def note(self, kind: NoteKind, query: int, *, amount: int = 1, detail: str = "") -> None:
        """Note something about a query."""
        self._notes.append(Note(self.asking.stage, kind, self.lists[query].query.id, amount=amount, detail=detail))

    def _generated(self, shown: Sequence[tuple[int, tuple[int, ...]]], prompts: Sequence[Prompt]) -> Answered:
        """What the model writes."""
        how = self.asking
        done = complete(how.model, prompts, max_tokens=how.max_tokens, session=how.session, stage=how.stage)
        places = [
            self.read(query, said, len(members)) for (query, members), said in zip(shown, done.completions, strict=True)
        ]
        return Answered(places, (), done.cached, done.calls, done.tokens, done.written)

    def _scored(self, shown: Sequence[tuple[int, tuple[int, ...]]], prompts: Sequence[Prompt]) -> Answered:
        """How likely the model holds each label; equal likelihoods at the top tell nothing."""
        how = self.asking
        wanted = [
            Continuation(prompt, how.template.spoken(place))
            for prompt, (_, members) in zip(prompts, shown, strict=True)
            for place in range(len(members))
        ]
        model = scoring_model(how.model, stage=how.stage)
        done = log_likelihoods(model, wanted, session=how.session, stage=how.stage)
        values = iter(zip(done.log_probabilities, done.listed, strict=True))
        places = []
        for query, members in shown:
            own = list(islice(values, len(members)))
            places.append(_by_likelihood([value for value, _ in own]))
            if unlisted := [how.template.spoken(place) for place, (_, listed) in enumerate(own) if not listed]:
                self.note("unlisted_label", query, amount=len(unlisted), detail=", ".join(unlisted))
        return Answered(places, (), done.cached, done.calls, done.tokens)

    def _prompt(self, query: int, members: Sequence[int]) -> Prompt:
        """The prompt that shows some hits of a query, in the order given."""
        return self.asking.template.showing(self.lists[query].query.text, [self._text(query, hit) for hit in members])

    def _text(self, query: int, hit: int) -> str:
        """What is shown of a hit; the first time that one is cut, it is noted."""
        known = self._texts.get((query, hit))
        if known is None:
            one, how = self.lists[query], self.asking
            document = one.documents[hit]
            limit = self._words[query]
            known, words = cut_words(document.contents, limit)
            self._texts[query, hit] = known
            if words:
                note = truncation_note(
                    how.session, stage=how.stage, tokens=words, query_id=one.query.id, doc_id=document.id
                )
                room = ", which is all that the model has room for" if limit < how.passage_words else ""
                self._notes.append(replace(note, detail=f"words beyond {limit}{room}"))
        return known

    def _showing(self, one: QueryHits) -> Showing:
        """The prompts about a query."""
        how = self.asking
        texts = [document.contents for document in one.documents]
        passages = min(how.passages, len(texts))

        def longest(words: int, size: Size) -> Prompt:
            cut = [cut_words(text, words)[0] for text in texts]
            sizes = size(cut)
            places = sorted(range(len(cut)), key=lambda place: -sizes[place])
            return how.template.showing(one.query.text, [cut[place] for place in sorted(places[:passages])])

        return Showing(one.query.id, passages, longest, key=digest(how.template, one.query.text, texts))


def cut_words(text: str, words: int) -> tuple[str, int]:
    """A text up to a number of words, and how many are left out."""
    found = list(_WORD.finditer(text))
    return (text, 0) if len(found) <= words else (text[: found[words - 1].end()], len(found) - words)


def _by_likelihood(values: Sequence[float]) -> Places:
    """Places by likelihood, best first; none if two share the top."""
    best = sorted(range(len(values)), key=lambda place: (-values[place], place))
    return () if len(best) > 1 and values[best[0]] == values[best[1]] else tuple(best)
