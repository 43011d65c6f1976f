"""Work on a Ray cluster: the same function for many numbers, by workers that keep what they have loaded.

Moritz et al.: Ray: A Distributed Framework for Emerging AI Applications, OSDI 2018. Ray Data shares the numbers out,
starts workers again that die, and gives their work to others; nothing of that is done here.

Who reaches a cluster's ports can run code on it. `local` is no exception: while a job lasts, Ray's processes listen on
ports that the system chooses, most on every interface of the machine. Ray 2.60 then asks for a token, which it makes in
`~/.ray/auth_token` if there is none; other versions, and clusters that you start, may need RAY_AUTH_MODE=token, here
and on all nodes, with the same token (RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH). A head node listens on 6379 and draws
others unless `ray start` is told them. Keep them all behind a firewall.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import pickle
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankloom.checks import whole
from rankloom.errors import RankloomError, StageError, UsageError
from rankloom.extras import require

#: How often one worker is started again before the job is given up: what kills every worker must not go on forever.
RESTARTS = 10
#: Bytes of the object store of a cluster that is started here. Workers read files and send back little.
OBJECT_STORE = 1 << 28
_MOST_BLOCKS = 10_000  # shares that the numbers are dealt out in
_PATIENCE = 5.0  # seconds for a cluster to answer
_STAGE = "ray"

#: What a worker does for one number. Made once in each worker, from arguments that can be pickled.
Work = Callable[[int], Any]


@dataclass(frozen=True, slots=True)
class RayCluster:
    """Which cluster, and how many workers on it.

    Every worker has `threads` processors to itself and uses no more threads than that. If Ray was initialised in this
    process before, that connection is used, whatever the address.

    Args:
        address: `local` starts Ray on this machine for the length of a job. `auto` finds the cluster that runs on it;
            `HOST:PORT` is that of a head node. Ray's own words.
        workers: How many; by default as many as the cluster's processors (and GPUs) allow.
        threads: Processors for each. Models hold one copy of their weights for each worker.
        gpus: GPUs for each; a fraction shares one.

    Raises:
        UsageError: A number is out of range.

    Example:
        >>> RayCluster("auto", threads=4).workers is None
        True
    """

    address: str = "local"
    workers: int | None = None
    threads: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.workers is not None:
            whole(self.workers, least=1, stage=_STAGE, parameter="workers")
        whole(self.threads, least=1, stage=_STAGE, parameter="threads")
        if self.gpus < 0:
            raise UsageError("gpus is out of range", stage=_STAGE, value=self.gpus, accepted="0 or more")

    def each(
        self, make: Callable[..., Work], arguments: Sequence[Any], numbers: Sequence[int], *, offline: bool = False
    ) -> Iterator[tuple[int, Any]]:
        """Do work for each number; each comes with its result as soon as that is there, in any order.

        A worker that dies is started again and its numbers are done again. An error that the work raises ends the job.

        Args:
            make: Makes the work of a worker; a class or function that workers can import.
            arguments: What it is given; must be fit to be pickled.
            numbers: What the work is done for.
            offline: Refuse a cluster that is not on this machine.

        Raises:
            MissingExtraError: Ray is not installed.
            UsageError: Something can not be pickled, or the cluster is elsewhere and the network out of bounds.
            StageError: The cluster does not answer, has no room for a worker, or workers die again and again.
            RankloomError: As the work raises it; anything else is wrapped in a `StageError`.
        """
        ray = require("ray", extra="ray", stage=_STAGE)
        require("ray.data", extra="ray", stage=_STAGE)
        if not numbers:
            return
        try:
            pickled = ray.cloudpickle.dumps((make, tuple(arguments)))  # also takes what a notebook has defined
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise UsageError(
                f"something can not be sent to workers: {error}",
                stage=_STAGE,
                fix="use classes of modules that workers can import, and indexes in folders",
            ) from error
        with self.connected(offline=offline), _quiet(ray):
            rows = ray.data.from_items(
                [{"number": number} for number in numbers], override_num_blocks=min(len(numbers), _MOST_BLOCKS)
            )
            done = rows.map_batches(
                _Worker,
                fn_constructor_args=(pickled, self.threads),
                batch_size=1,
                num_cpus=self.threads,
                num_gpus=self.gpus or None,
                max_restarts=RESTARTS,
                compute=ray.data.ActorPoolStrategy(
                    size=min(len(numbers), self._most_workers(ray)), max_tasks_in_flight_per_actor=2
                ),
            )
            try:
                for row in done.iter_rows():
                    failed, result = pickle.loads(row["result"])  # noqa: S301  # from our own workers
                    if failed:
                        raise result
                    yield int(row["number"]), result
            except ray.exceptions.RayError as error:
                raise StageError(f"the job failed: {str(error).splitlines()[0]}", stage=_STAGE) from error

    def _most_workers(self, ray: Any) -> int:
        """How many workers the cluster has room for, or the number asked for.

        Raises:
            StageError: There is no room for one.
        """
        there = ray.cluster_resources()
        room = int(there.get("CPU", 0)) // self.threads
        if self.gpus:
            room = min(room, int(there.get("GPU", 0) / self.gpus))
        if not room:
            raise StageError(
                f"the cluster has {there.get('CPU', 0):g} processors and {there.get('GPU', 0):g} GPUs",
                stage=_STAGE,
                accepted=f"{self.threads} processors and {self.gpus:g} GPUs for each worker",
                fix="ask for fewer threads or GPUs for each worker",
            )
        return min(room, self.workers or room)

    @contextmanager
    def connected(self, *, offline: bool = False) -> Iterator[None]:
        """Be connected to the cluster for several jobs; what is begun here is ended here.

        Args:
            offline: Refuse a cluster that is not on this machine.

        Raises:
            MissingExtraError: Ray is not installed.
            UsageError: The cluster is elsewhere, and the network out of bounds.
            StageError: The cluster does not answer.
        """
        if offline:
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # whatever the user has said of Ray elsewhere
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would open sockets to tell its makers
        ray = require("ray", extra="ray", stage=_STAGE)
        if ray.is_initialized():
            yield  # whoever has connected this process has opened the sockets
            return
        if offline:
            _check_here(self.address)
        host, _, port = self.address.rpartition(":")
        if host and port.isdecimal():
            _check_answers(host, int(port))  # Ray itself tries for minutes and then ends the process
        own: dict[str, Any] = {}
        if self.address == "local":
            own = {"object_store_memory": OBJECT_STORE, "include_dashboard": False}
        try:
            ray.init(
                address=self.address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **own,
            )
        except (ConnectionError, RuntimeError, ValueError, SystemExit) as error:
            raise _unreachable(self.address, str(error)) from error
        try:
            yield
        finally:
            ray.shutdown()


class _Worker:
    """What runs in a worker's process: made once, called with one number at a time."""

    def __init__(self, pickled: bytes, threads: int) -> None:
        _limit_threads(threads)
        self._pickled = pickled
        self._work: Work | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The result for one number, or the error in its place: Ray would repeat or wrap what is raised."""
        number = int(batch["number"][0])
        try:
            if self._work is None:
                make, arguments = pickle.loads(self._pickled)  # noqa: S301  # by the driver of this job
                self._work = make(*arguments)
            outcome = pickle.dumps((False, self._work(number)))
        except Exception as error:  # the driver raises it
            known = isinstance(error, RankloomError)
            outcome = pickle.dumps((True, error if known else StageError(f"{type(error).__name__}: {error}")))
        return {"number": np.array([number]), "result": np.array([outcome], dtype=object)}


def _limit_threads(threads: int) -> None:
    """Let the libraries of this process use no more threads than a worker has processors."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(threads)
    if (torch := sys.modules.get("torch")) is not None:  # it has read them already
        torch.set_num_threads(threads)


@contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Keep Ray Data's own progress, log lines and deprecations off the terminal: a job shows its own progress."""
    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        context.enable_progress_bars = before[0]
        logger.setLevel(before[1])


def _check_here(address: str) -> None:
    """Refuse an address of another machine: `local` and loopback open no socket to one.

    Raises:
        UsageError: It is another's, or may be: the head of what `auto` finds can be anywhere.
    """
    host = address.removeprefix("ray://").rpartition(":")[0].strip("[]")
    try:
        here = address == "local" or host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: looking it up would be a question to the network
        here = False
    if not here:
        raise UsageError(
            "the session is offline, and the cluster may be on another machine",
            stage=_STAGE,
            value=address,
            accepted="local, or a loopback address such as 127.0.0.1:6379",
            fix="take `local`, or Session(offline=False)",
        )


def _check_answers(host: str, port: int) -> None:
    """Refuse an address where nobody listens.

    Raises:
        StageError: Nobody does.
    """
    try:
        socket.create_connection((host, port), timeout=_PATIENCE).close()
    except OSError as error:
        raise _unreachable(f"{host}:{port}", str(error)) from error


def _unreachable(address: str, reason: str) -> StageError:
    """The error for a cluster that does not answer."""
    return StageError(
        f"the Ray cluster can not be reached ({reason.splitlines()[0] if reason else 'no reason given'})",
        stage=_STAGE,
        value=address,
        accepted="local, auto, or HOST:PORT of a head node",
        fix="start one with `ray start --head`, or take `local`",
    )
