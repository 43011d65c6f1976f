"""Conformance tests for stages: inherit `StageConformance` and pytest checks that your stage keeps the contract.

Say what to test, in a test file of your own:

    from mypackage import Shuffle
    from rankloom import Run, Stage
    from rankloom.testing import StageConformance

    class TestShuffle(StageConformance):
        def make_stage(self) -> Stage:
            return Shuffle(strength=2)

        def make_run(self) -> Run:
            return Run.from_dict({"q1": {"d1": 2.0, "d2": 1.0}, "q2": {"d2": 1.0}}, queries={"q1": "sky", "q2": "sea"})

Each check is one test method whose docstring says what it asks for; a check that is for another kind of stage passes.
Of the whole package only this module needs pytest (extra `test`).
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from rankloom.cache import Cache
from rankloom.errors import UsageError
from rankloom.feedback_parts import FeedbackExplainer
from rankloom.fingerprint import digest
from rankloom.parallel import completed
from rankloom.ranking import concatenate
from rankloom.records import Query
from rankloom.run import Run
from rankloom.run_comparison import content, difference, disorder, rankings, same_notes
from rankloom.score_parts import ScoreExplainer
from rankloom.stage import Feedback, Pruner, Reranker, Retriever, Stage, traits_of
from rankloom.stage_probe import in_another_process, variants

#: Queries that have broken tokenizers, files and databases.
AWKWARD_QUERIES: tuple[str, ...] = (
    "nai\u0308ve cafe\u0301 \u0130STANBUL \ufb01ne stra\u00dfe",  # marks of their own; lower case changes lengths
    "\u05e9\u05dc\u05d5\u05dd \u202e\u0645\u0631\u062d\u0628\u0627\u202c",  # right to left, with marks of direction
    "\u5929\u7a7a\u4e3a\u4ec0\u4e48\u662f\u84dd\u8272\u7684",  # no spaces between words
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001d518\U0001d52b\U0001d526",  # joined and beyond 16 bits
    "zero\u200bwidth\ufeff line\nbreak\ttab\rnull\x00bell\x07",
    '"quoted" AND (NOT) +-~^*?:\\/ <b>&amp;</b> %s {0} $1',
    "half a pair \ud83d",  # JSON can hold it, UTF-8 can not
    "\ufffd\uffff ... !!! ---",
    "long" * 500,
    "many words " * 300,
)

_ROUNDING = 1e-6  # of float32, in a sum of parts that have scores up to 1


class StageConformance:
    """What every stage must keep to.

    Attributes:
        tolerance: Largest difference between a score computed in a batch and the same score computed alone, for scores
            up to 1; larger scores may differ in proportion.
        neutral: Parameters that change no result, such as a batch size, and are left out of the fingerprint.
        own_process: Whether this file can be imported and `make_stage` called in a fresh process, outside pytest. If
            not, the checks that need a process of their own are left out.
        light: Whether `make_stage` loads no model library. Put it off if it has to build an index with a model.
    """

    tolerance: ClassVar[float] = 1e-5
    neutral: ClassVar[frozenset[str]] = frozenset()
    own_process: ClassVar[bool] = True
    light: ClassVar[bool] = True

    def make_stage(self) -> Stage:
        """A new stage, equal on every call. A feedback stage is bound to a retriever."""
        raise NotImplementedError

    def make_run(self) -> Run:
        """A run of two or more queries that the stage can work on; with hits and texts if the stage needs them."""
        raise NotImplementedError

    # --- the constructor and the fingerprint ------------------------------------------------------------------

    def test_parameters_are_attributes(self) -> None:
        """Every constructor parameter is kept as an attribute of the same name."""
        stage = self.make_stage()
        try:
            stage.params()
        except AttributeError as error:
            pytest.fail(f"{stage.name}: a constructor parameter is not kept: {error}")

    def test_replace_makes_an_equal_stage(self) -> None:
        """`replace()` with no changes gives an equal stage, and refuses parameters that do not exist."""
        stage = self.make_stage()
        other = stage.replace()
        _require(type(other) is type(stage), "replace() made a stage of another class")
        _require(other.fingerprint() == stage.fingerprint(), "replace() changed the fingerprint")
        with pytest.raises(UsageError):
            stage.replace(no_such_parameter=1)

    def test_parameters_can_not_be_set(self) -> None:
        """A stage does not change: setting a parameter is an error."""
        stage = self.make_stage()
        for name, value in stage.params().items():
            with pytest.raises(UsageError):
                setattr(stage, name, value)

    def test_fingerprint_is_stable(self) -> None:
        """Two equal stages have one fingerprint, before and after they have worked."""
        stage, other = self.make_stage(), self.make_stage()
        before = stage.fingerprint()
        _require(before == other.fingerprint(), "two equal stages differ in their fingerprints")
        other.run(self._run())
        _require(before == other.replace().fingerprint(), "working changed the fingerprint")

    def test_fingerprint_is_the_same_in_another_process(self) -> None:
        """A process with another hash seed computes the same fingerprint; otherwise no cache outlives a process."""
        if self.own_process:
            told = in_another_process(type(self))["fingerprint"]
            _require(told == self.make_stage().fingerprint(), "another process computes another fingerprint")

    def test_fingerprint_changes_with_each_parameter(self) -> None:
        """Another number or choice is another stage, unless the parameter is declared `neutral`."""
        stage = self.make_stage()
        for name, changed in variants(stage):
            same = changed.fingerprint() == stage.fingerprint()
            if name in self.neutral:
                _require(same, f"the neutral parameter {name} changes the fingerprint")
            else:
                _require(not same, f"{name} does not change the fingerprint: a cache would mix up results")

    def test_construction_is_light(self) -> None:
        """Making a stage imports no model library; models load on first use or by `warm_up`."""
        if self.own_process and self.light:
            loaded = in_another_process(type(self))["loaded"]
            _require(not loaded, f"constructing imports {loaded}; import inside the function that needs it")

    # --- what goes in and what comes out ----------------------------------------------------------------------

    def test_declarations_hold(self) -> None:
        """The outgoing run holds what `flow` promises, and nothing that the stage says it drops."""
        stage, run = self.make_stage(), self._run()
        promised = stage.flow(traits_of(run), after="the start")
        found = traits_of(stage.run(run))
        _require(promised <= found, f"promised and not there: {sorted(promised - found)}")
        kept = (stage.drops - promised) & found
        _require(not kept, f"declared as dropped and still there: {sorted(kept)}")

    def test_input_is_not_changed(self) -> None:
        """The run passed in is the same afterwards, to the last byte."""
        run = self._run()
        before, notes = content(run), run.ledger.notes
        self.make_stage().run(run)
        _require_same(content(run), before, "the run passed in was changed")
        _require(run.ledger.notes == notes, "the ledger of the run passed in was changed")

    def test_queries_stay(self) -> None:
        """The queries keep their number, order and ids."""
        run = self._run()
        _require(list(self.make_stage()(run)) == list(run), "the queries are not those that were passed in")

    def test_hits_are_in_order(self) -> None:
        """Scores are finite and descend, ties go by document id, and no document stands twice."""
        wrong = disorder(self.make_stage().run(self._run()))
        _require(not wrong, wrong)

    def test_documents_stay(self) -> None:
        """Rerankers and pruners return the documents they were given."""
        stage, run = self.make_stage(), self._run()
        if not isinstance(stage, Reranker | Pruner):
            return
        for before, after in zip(run.values(), stage.run(run).values(), strict=True):
            _require(sorted(before.doc_ids) == sorted(after.doc_ids), f"{before.query.id}: other documents than before")

    def test_spans_lie_in_the_text(self) -> None:
        """Spans are in text order, do not overlap, and end within the text."""
        after = self.make_stage().run(self._run())
        for hit in (hit for hits in rankings(after) for hit in hits if hit.spans is not None):
            borders = [border for span in hit.spans or () for border in (span.start, span.end)]
            inside = not borders or (borders[0] >= 0 and borders[-1] <= len(hit.text))
            _require(inside and borders == sorted(borders), f"{hit.doc_id}: bad spans {hit.spans}")

    def test_shallower_retriever_gives_the_same_head(self) -> None:
        """A retriever's best k hits are the first k of a deeper ranking, so `.top(k)` can be pushed down."""
        stage, run = self.make_stage(), self._run()
        if isinstance(stage, Retriever):
            deep, shallow = stage.run(run), stage.replace(k=2).run(run)
            self._check_close(deep.top(2), shallow, "a smaller k changes the hits")

    def test_parts_add_up_to_scores(self) -> None:
        """A stage that tells the parts of its scores tells those of the scores that it ranks by."""
        stage, run = self.make_stage(), self._run()
        if not isinstance(stage, ScoreExplainer):
            return
        for query, hits in zip(run.queries, stage.run(run).values(), strict=True):
            for hit in hits:
                told = stage.score_parts(query, hit.doc_id, run.session)
                _require(told is not None, f"{query.id}: nothing is told of {hit.doc_id}, which is among the hits")
                if told is not None:
                    added = sum(one.part for one in told.terms)
                    off = max(abs(told.score - hit.score), abs(added - hit.score))
                    said = f"{query.id}: {hit.doc_id} scores {hit.score}, told {told.score}, parts {added}"
                    _require(off <= max(self.tolerance, _ROUNDING) * max(1.0, abs(hit.score)), said)

    def test_feedback_terms_are_those_written(self) -> None:
        """A feedback stage that tells where its terms come from tells of those that it writes, and parts add up."""
        stage, run = self.make_stage(), self._run()
        if not isinstance(stage, FeedbackExplainer):
            return
        told = stage.feedback_terms(run.queries, run.hits(stage=stage.name), run.session)
        for query, terms in zip(stage.run(run).queries, told, strict=True):
            _require({one.term: one.weight for one in terms} == query.terms, f"{query.id}: other terms were written")
            for one in terms:
                added = one.original + sum(part for _, part in one.documents)
                said = f"{query.id}: {one.term} weighs {one.weight}, parts {added}"
                _require(abs(added - one.weight) <= _ROUNDING * max(1.0, abs(one.weight)), said)

    # --- how it works -------------------------------------------------------------------------------------------

    def test_same_twice(self) -> None:
        """Two calls, and a call of an equal stage, give the same bytes."""
        stage, run = self.make_stage(), self._run()
        first = content(stage(run))
        _require_same(content(stage(run)), first, "a second call gives another result")
        _require_same(content(self.make_stage()(run)), first, "an equal stage gives another result")

    def test_batch_equals_one_at_a_time(self) -> None:
        """The other queries of a batch have no influence beyond rounding."""
        stage, run = self.make_stage(), self._run()
        together = stage(run)
        for number, query in enumerate(run.queries):
            alone = stage(run.select([number]))
            self._check_close(together.select([number]), alone, "alone and in a batch the results differ")
            said = [note for note in together.ledger.notes[len(run.ledger.notes) :] if note.query_id == query.id]
            _require(same_notes(tuple(said), alone.ledger.notes), f"{query.id}: alone and in a batch the notes differ")

    def test_a_parallel_stage_bears_threads(self) -> None:
        """A stage that says `parallel` gives the same bytes for a query alone, on threads, as for the batch on one."""
        stage, run = self.make_stage(), self._run()
        if not stage.parallel:
            return
        together = stage(run)
        numbers = list(range(len(run))) * 4
        for number, alone in completed(lambda place: stage(run.select([place])), numbers, threads=4):
            where = difference(together.select([number]), alone, 0.0)
            _require(not where, f"on several threads the results differ: {where}")

    def test_models_can_be_freed(self) -> None:
        """After `warm_up` and `close` a stage works as before."""
        stage, run = self.make_stage(), self._run()
        stage.warm_up(run.session)
        first = content(stage(run))
        stage.close()
        _require_same(content(stage(run)), first, "after close() the result is another")

    def test_second_run_comes_from_the_cache(self, tmp_path: Path) -> None:
        """With a cache, a second run calls no model and equals the first, notes included; both equal a run without."""
        run = self._run()
        session = copy.copy(run.session)
        session.cache = Cache(tmp_path)
        first = self.make_stage().run(run, session=session)
        again = self.make_stage().run(run, session=session)
        _require_same(content(again), content(first), "the second run differs from the first")
        _require(again.ledger.notes == first.ledger.notes, "the second run has other notes; does each name its query?")
        without = self.make_stage().run(run)
        _require_same(content(without), content(first), "with and without a cache the results differ")
        spent = again.ledger.costs[len(run.ledger.costs) :]
        _require(not sum(cost.calls for cost in spent), "the second run called a model")
        if self.make_stage().grain == "query":
            _require(sum(cost.cached for cost in spent) >= len(run), "the second run computed something again")

    # --- inputs at the edge ---------------------------------------------------------------------------------------

    def test_no_queries(self) -> None:
        """A run without queries gives a run without queries."""
        after = self.make_stage().run(self._run().select([]))
        _require(len(after) == 0, "queries came out of nowhere")

    def test_query_without_hits(self) -> None:
        """A query without hits passes and does not disturb the others; feedback notes it."""
        stage, run = self.make_stage(), self._run()
        if run.ranking is None or "ranking" not in stage.opening():
            return
        rest = range(1, len(run))
        ranking = concatenate([run.ranking.select([0]).top(0), run.ranking.select(rest)])
        after = stage.run(_changed(run.ranked(ranking), run.queries))
        _require(list(after) == list(run), "a query was lost")
        searches = any("ranking" not in inner.opening() for inner in stage.inner)
        _require(searches or after.ranking is None or after.ranking.counts()[0] == 0, "hits came out of nowhere")
        self._check_close(stage.run(run).select(rest), after.select(rest), "a neighbour without hits changes results")
        if isinstance(stage, Feedback):
            _require_note(after, "no_feedback")

    def test_blank_query(self) -> None:
        """A blank query passes; a retriever finds nothing for it and notes it, and feedback notes it."""
        stage, run = self.make_stage(), self._run()
        blank = Query(run.queries[0].id, " \n")
        after = stage.run(_changed(run, (blank, *run.queries[1:])))
        _require(list(after) == list(run), "a query was lost")
        _require(not disorder(after), disorder(after))
        if isinstance(stage, Retriever):
            _require(after.hits(stage=stage.name).counts()[0] == 0, "a blank query found something")
            _require_note(after, "empty_query", "no_hits")
        elif isinstance(stage, Feedback):
            _require_note(after, "no_feedback")

    def test_awkward_queries(self) -> None:
        """Queries in any script, with control characters, or very long, pass."""
        run = self._run()
        queries = tuple(Query(f"awkward{number}", text) for number, text in enumerate(AWKWARD_QUERIES))
        copies = run if run.ranking is None else replace(run, ranking=run.ranking.select([0] * len(queries)))
        after = self.make_stage().run(_changed(copies, queries))
        _require(list(after) == [query.id for query in queries], "a query was lost")
        _require(not disorder(after), disorder(after))

    # --- help for the above -------------------------------------------------------------------------------------

    def _run(self) -> Run:
        """The run, if it will do for the checks."""
        run = self.make_run()
        _require(len(run) > 1, "make_run must give at least two queries")
        return run

    def _check_close(self, one: Run, other: Run, problem: str) -> None:
        """Fail unless two runs are equal but for rounding."""
        where = difference(one, other, self.tolerance)
        _require(not where, f"{problem}: {where}")


def _require(condition: bool, problem: str) -> None:
    """Fail the check with a sentence unless a condition holds."""
    if not condition:
        pytest.fail(problem, pytrace=False)


def _require_same(now: dict[str, str], before: dict[str, str], problem: str) -> None:
    """Fail the check unless two runs hold the same bytes; names the parts that differ."""
    differing = [part for part in {**before, **now} if now.get(part) != before.get(part)]
    _require(not differing, f"{problem}: {', '.join(differing)}")


def _require_note(run: Run, *kinds: str) -> None:
    """Fail the check unless the ledger says something of the first query."""
    said = {note.kind for note in run.ledger.notes if note.query_id == run.queries[0].id}
    _require(bool(said & set(kinds)), f"nothing in the ledger; expected {' or '.join(kinds)}")


def _changed(run: Run, queries: tuple[Query, ...]) -> Run:
    """The run with other queries, and a lineage of its own."""
    return replace(run, queries=queries, lineage=digest(run.lineage, "changed by a check"))
