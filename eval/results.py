"""What an experiment gave: an outcome for each pipeline that finished, reasons for the others, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rankloom.errors import PartialResultError, RankloomError
from rankloom.eval.collections import Collection
from rankloom.eval.costs import COSTS, Price, Spending, index_bytes
from rankloom.eval.latency import Latency
from rankloom.eval.measures import Evaluation
from rankloom.eval.pushdown import retrievers
from rankloom.eval.table import Summary
from rankloom.eval.tuning import Tuning
from rankloom.fusion_methods import METHODS
from rankloom.ledger import Ledger
from rankloom.pipeline import Pipeline, Top
from rankloom.run import Run
from rankloom.session import Session

_TRIVIAL = {Top.name, *METHODS}  # stages that are never worth a cache entry


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one pipeline gave.

    Args:
        pipeline: The pipeline, as it was carried out.
        run: Its hits, ledger and lineage.
        evaluation: Its measures.
        prices: Stage or model -> price.
        latency: How long single queries took; None if they were not timed.
        peak_memory: Largest resident memory of the process when it was done, in bytes; None if not known.
    """

    pipeline: Pipeline
    run: Run
    evaluation: Evaluation
    prices: Mapping[str, Price] = field(default_factory=dict)
    latency: Latency | None = None
    peak_memory: int | None = None

    @property
    def ledger(self) -> Ledger:
        """Notes and costs of the run, and notes of its evaluation."""
        return self.run.ledger.noted(*self.evaluation.notes)

    def costs(self) -> dict[str, float]:
        """Every measure of `rankloom.eval.costs.COSTS` that is known; what came from the cache cost next to nothing."""
        spending = Spending(
            queries=len(self.run),
            costs=self.run.ledger.costs,
            from_cache=self.cached()[0] > 0,
            index_bytes=index_bytes(self.pipeline),
            prices=self.prices,
            latency=self.latency,
            peak_memory=self.peak_memory,
        )
        values = {name: measure.value(spending) for name, measure in COSTS.items()}
        return {name: value for name, value in values.items() if value is not None}

    def cached(self) -> tuple[int, int]:
        """How many inputs of stages came from the cache, and how many there were; trivial stages do not count."""
        spent = [cost for cost in self.run.ledger.costs if cost.stage not in _TRIVIAL]
        return sum(cost.cached for cost in spent), sum(cost.inputs for cost in spent)


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """What an experiment gave.

    Args:
        outcomes: Pipeline -> outcome, for those that finished.
        failures: Pipeline -> what went wrong, for the others.
        summary: The table.
        collection: What was measured on.
        session: How it was carried out.
        started: When.
        finished: When.
        tunings: Tuned row -> how its setting was chosen.
        groups: Pipeline that was swept -> the pipelines that stand for its settings.
    """

    outcomes: Mapping[str, Outcome]
    failures: Mapping[str, RankloomError]
    summary: Summary
    collection: Collection
    session: Session
    started: datetime
    finished: datetime
    tunings: Mapping[str, Tuning] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def reasons(self) -> dict[str, str]:
        """Why pipelines failed, in words."""
        return {name: str(error) for name, error in self.failures.items()}

    def index_ledgers(self) -> dict[str, Ledger]:
        """What happened when indexes were built, such as documents longer than an encoder reads; by retriever."""
        found: dict[str, Ledger] = {}
        for outcome in self.outcomes.values():
            for stage in retrievers(outcome.pipeline):
                ledger = getattr(stage, "index_ledger", None) or getattr(getattr(stage, "index", None), "ledger", None)
                if isinstance(ledger, Ledger) and ledger.notes:
                    found[stage.name] = ledger
        return found

    def unfinished(self) -> dict[str, int]:
        """Pipeline -> how many rankings of it are only the best so far, because a budget was spent."""
        counts = {name: len(outcome.ledger.of("unfinished")) for name, outcome in self.outcomes.items()}
        return {name: count for name, count in counts.items() if count}

    def raise_failures(self) -> None:
        """Raise a `PartialResultError` if a pipeline failed, or was stopped by a budget."""
        if self.failures:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.reasons().items())
            raise PartialResultError(
                f"{len(self.failures)} of {len(self.failures) + len(self.outcomes)} pipelines failed ({reasons})",
                stage="run",
                fix="mend the cause and run again; what is done comes from the cache",
            ) from next(iter(self.failures.values()))
        if unfinished := self.unfinished():
            counts = ", ".join(f"{count} of {name}" for name, count in unfinished.items())
            raise PartialResultError(
                f"the budget was spent before all queries were done ({counts}); their rankings are the best so far",
                stage="run",
                fix="run again, with the same budget or a larger one: what was paid for comes from the cache",
            )
