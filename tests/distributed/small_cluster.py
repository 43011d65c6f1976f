"""A Ray cluster of two nodes on this machine, and its workers' processes."""

import os
import time
from contextlib import contextmanager
from pathlib import Path

from rankloom import Session


@contextmanager
def two_nodes():
    """A cluster of two nodes of one processor each; this process is connected to it. Gives its address."""
    import logging

    # before ray is imported; its workers give way to all else (15) and would wait for minutes beside other tests
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0")
    import ray
    from ray.cluster_utils import Cluster

    cluster = _started(Cluster)
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        cluster.wait_for_nodes(timeout=300)
        yield cluster.address
    finally:
        ray.shutdown()
        cluster.shutdown()


def _started(make, *, tries=5):
    """Two nodes. Ray gives a node 30 seconds to start, and no setting changes that: a busy machine is asked again."""
    sizes = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    for left in reversed(range(tries)):
        cluster = make()
        try:
            cluster.add_node(include_dashboard=False, **sizes)
            cluster.add_node(**sizes)
        except Exception:  # Ray raises no narrower one
            cluster.shutdown()
            if not left:
                raise
        else:
            return cluster
    raise AssertionError


def offline(**more):
    """A session that opens no socket."""
    return Session(offline=True, device="cpu", **more)


def workers():
    """The process ids of Ray Data's workers below this process."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_text()
        except (OSError, IndexError):  # it has ended
            continue

    def ours(process):
        while process in parents:
            if process == os.getpid():
                return True
            process = parents[process]
        return False

    return [process for process, name in names.items() if name.startswith("ray::MapWorker") and ours(process)]


class AtFirstStep:
    """Progress that does something once, when the first units of a piece of work are done."""

    def __init__(self, act):
        self._act, self.labels = act, []

    @contextmanager
    def task(self, label, total):  # noqa: ARG002  # the protocol's
        def advance(count):
            if count and label not in self.labels:
                self.labels.append(label)
                self._act(label)

        yield advance


def wait_for(condition, *, seconds=300.0):
    """Wait until something holds.

    Raises:
        TimeoutError: It did not in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)
