"""Micro-batches: requests that wait for the same pipeline are carried out as one run, leg by leg.

A batch is what has come in while the one before was under way. One request never harms another: where a batch fails,
each of its requests is carried out alone; each has its own deadline, and at that moment gets what is there. A leg is
left out where none of the requests has time for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from rankloom.errors import StageError
from rankloom.pipeline import Pipeline
from rankloom.ranked_list import RankedList
from rankloom.run import Run
from rankloom.serving.config import Batching
from rankloom.serving.deadlines import LeftOut, Pace
from rankloom.serving.legs import Leg, Plan
from rankloom.serving.metrics import Metrics
from rankloom.serving.pipelines import GIVEN
from rankloom.serving.tasks import Found, Task, run_of
from rankloom.serving.threads import in_thread
from rankloom.serving.tracing import Tracing
from rankloom.session import Session
from rankloom.stage import NO_TRAITS


class LateError(StageError):
    """The deadline has passed, and there is nothing to answer with."""


class BusyError(StageError):
    """Too many calls that nobody waits for any more are under way in a stage that there is no answer without."""


_MOST_HANGING = 4  # calls of a first leg that nobody waits for, before new ones are refused


class Batcher:
    """Carries out the tasks of one pipeline.

    Args:
        name: The pipeline's.
        pipeline: The pipeline; may be put in the place of another by `swap`, between two batches.
        searches: Whether it searches, rather than work on documents that come with tasks.
        session: How it is carried out.
        batching: Sizes and waits.
        on_failure: What happens where a leg behind the first fails.
        metrics: Counts.
        tracing: Spans.
    """

    def __init__(
        self,
        name: str,
        pipeline: Pipeline,
        *,
        searches: bool,
        session: Session,
        batching: Batching,
        on_failure: Literal["error", "degrade"],
        metrics: Metrics,
        tracing: Tracing,
    ) -> None:
        self.name, self.searches, self.session = name, searches, session
        self._batching, self._on_failure, self._metrics, self._tracing = batching, on_failure, metrics, tracing
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._queue: asyncio.Queue[Task] = asyncio.Queue()
        self._open = 0
        self._idle = asyncio.Event()  # nobody waits for an answer
        self._idle.set()
        self._workers: list[asyncio.Task[None]] = []
        self.swap(pipeline)

    def swap(self, pipeline: Pipeline) -> None:
        """Let batches from now on go through another pipeline; one under way goes on through its own."""
        self.plan = Plan(pipeline, NO_TRAITS if self.searches else GIVEN)

    # --- for requests ----------------------------------------------------------------------------------------

    async def ask(self, task: Task) -> Found:
        """The answer to a task; at its deadline, what is there.

        Raises:
            LateError: At its deadline there is nothing.
            RankloomError: As the stages raise it.
        """
        if not self._workers:
            self._workers = [asyncio.create_task(self._work()) for _ in range(self._batching.workers)]
        self._open += 1
        self._idle.clear()
        try:
            self._queue.put_nowait(task)
            done, _ = await asyncio.wait({task.answer}, timeout=max(0.0, task.left))
            if done:
                return task.answer.result()
            if task.best is None:
                raise LateError(
                    f"not done within {task.seconds:g} seconds",
                    stage=self.name,
                    fix="allow more time, or ask for less at a time",
                )
            return self._stopped(task.best)
        finally:
            task.answer.cancel()  # nobody waits for it from now on
            self._open -= 1
            if not self._open:
                self._idle.set()

    async def drained(self) -> None:
        """Wait until every task has its answer, and stop."""
        await self._idle.wait()
        for worker in self._workers:
            worker.cancel()
        for worker in self._workers:
            with suppress(asyncio.CancelledError):
                await worker
        self._workers = []

    # --- batches ---------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Carry out batch after batch."""
        while True:
            tasks = [task for task in await self._collected() if task.waiting]
            if tasks:
                self._metrics.batch(self.name, len(tasks))
                await self._carry_out(tasks)

    async def _collected(self) -> list[Task]:
        """The next tasks: those that wait already, or come while the first waits."""
        tasks = [await self._queue.get()]
        most = self._most_at_once(tasks[0])
        until = time.monotonic() + self._batching.max_wait_ms / 1000
        while len(tasks) < most:
            if not self._queue.empty():
                tasks.append(self._queue.get_nowait())
                continue
            left = until - time.monotonic()
            if left <= 0:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    tasks.append(await self._queue.get())
        return tasks

    def _most_at_once(self, task: Task) -> int:
        """How many tasks are taken together: no more than are done by the deadline of the first."""
        each = sum(self._paces[leg.name].seconds for leg in self.plan.legs(task.k))
        in_time = int(task.left / each) if each else self._batching.max_size
        return max(1, min(self._batching.max_size, in_time))

    async def _carry_out(self, tasks: Sequence[Task]) -> None:
        """Answer some tasks together, or else each alone."""
        try:
            await self._through_legs(tasks)
        except Exception as error:
            if len(tasks) == 1:
                if not tasks[0].answer.done():
                    tasks[0].answer.set_exception(error)
                return
            for task in tasks:
                if task.waiting:
                    await self._carry_out([task])

    async def _through_legs(self, tasks: Sequence[Task]) -> None:
        """Go through the pipeline, and tell each task after each leg what there is."""
        plan = self.plan
        run = run_of(tasks, self.session.remembering())
        left_out: list[LeftOut] = []
        with self._tracing.batch(self.name, len(tasks)):
            legs = plan.legs(max(task.k for task in tasks))
            for number, leg in enumerate(legs):
                waiting = [task for task in tasks if task.waiting]
                if not waiting:
                    return
                if (omission := self._omission(leg, run, waiting)) is not None:
                    left_out.append(self._counted(omission))
                    continue
                try:
                    after = await self._after(leg, run, waiting)
                except Exception as error:
                    if leg.needed or self._on_failure == "error" or len(tasks) > 1:
                        raise
                    left_out.append(self._counted(LeftOut(leg.name, "failed", str(error))))
                    continue
                if after is None:
                    return
                run = after
                rest = tuple(one.name for one in legs[number + 1 :] if not one.free)
                self._tell(tasks, plan, Found(RankedList(run, 0), tuple(left_out), leg.name, len(tasks), rest))
        self._tell(tasks, plan, Found(RankedList(run, 0), tuple(left_out), self.name, len(tasks)))
        for task in tasks:
            if task.best is not None and task.waiting:
                task.answer.set_result(task.best)

    def _omission(self, leg: Leg, run: Run, waiting: Sequence[Task]) -> LeftOut | None:
        """Why a leg is left out; None if it is carried out.

        Raises:
            BusyError: There is no answer without it, and calls hang in it.
        """
        pace = self._paces[leg.name]
        if leg.needed:
            if pace.hanging >= _MOST_HANGING:
                raise BusyError(
                    f"{pace.hanging} earlier calls have not come back", stage=leg.name, fix="try again in a while"
                )
            return None
        if missing := leg.missing(run):
            return LeftOut(leg.name, "impossible", missing)
        reason = pace.why_not(max(task.left for task in waiting), requests=len(waiting))
        if reason == "deadline":
            pace.passed_over()
        return None if reason is None else LeftOut(leg.name, reason)

    async def _after(self, leg: Leg, run: Run, waiting: Sequence[Task]) -> Run | None:
        """The run after a leg; None if by then nobody waits for it any more."""
        if leg.free:
            return leg(run)
        pace, begun = self._paces[leg.name], time.monotonic()
        with self._tracing.leg(leg.name):
            call = in_thread(lambda: leg(run))
            await asyncio.wait({call}, timeout=max(task.left for task in waiting))
        if not call.done():
            pace.hanging += 1
            call.add_done_callback(lambda late: self._came_back(late, pace))
            return None
        after = call.result()
        seconds = time.monotonic() - begun
        pace.took(seconds, requests=len(run))
        self._metrics.leg(self.name, leg.name, seconds)
        return after

    def _came_back(self, call: asyncio.Future[Run], pace: Pace) -> None:
        """Note that a call has ended that nobody waited for."""
        pace.hanging -= 1
        if not call.cancelled():
            call.exception()  # whatever it was, there is nobody to tell

    def _tell(self, tasks: Sequence[Task], plan: Plan, found: Found) -> None:
        """Give every task that waits what there is now."""
        for place, task in enumerate(tasks):
            if task.waiting:
                task.best = replace(found, hits=RankedList(found.hits.run.top(plan.most(task.k)), place))
                if task.steps is not None:
                    task.steps.put_nowait(task.best)

    def _stopped(self, best: Found) -> Found:
        """What a task gets at its deadline: the best so far, and word of all that is missing."""
        missing = [self._counted(LeftOut(name, "deadline")) for name in best.rest]
        return replace(best, left_out=(*best.left_out, *missing), rest=())

    def _counted(self, one: LeftOut) -> LeftOut:
        """The same, counted."""
        self._metrics.left_out(self.name, one)
        return one
