"""Errors of jobs, and work that fails."""

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from rankloom.distributed import RayCluster
from rankloom.distributed import cluster as module
from rankloom.errors import DataError, MissingExtraError, StageError, UsageError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]


def doubling():
    return lambda number: 2 * number


def failing():
    def fail(number):
        raise DataError("the record is bad", stage="reader", value=number)

    return fail


def breaking():
    return lambda number: 1 / number


def killing():
    return lambda _number: os.kill(os.getpid(), signal.SIGKILL)


def threads():
    def count(_number):
        import torch

        return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]

    return count


def test_work_comes_back_with_its_number():
    found = dict(RayCluster().each(doubling, (), range(10, 30)))
    assert found == {number: 2 * number for number in range(10, 30)}


def test_a_worker_uses_no_more_threads_than_it_has_processors():
    assert list(RayCluster(workers=2, threads=1).each(threads, (), [0])) == [(0, (1, "1"))]


def test_errors_of_work_arrive_as_they_were_raised():
    with pytest.raises(DataError, match="reader: the record is bad; got 7"):
        list(RayCluster().each(failing, (), [7]))
    with pytest.raises(StageError, match="ZeroDivisionError: division by zero"):
        list(RayCluster().each(breaking, (), [0]))


def test_work_that_kills_every_worker_does_not_go_on_forever(monkeypatch):
    monkeypatch.setattr(module, "RESTARTS", 1)
    with pytest.raises(StageError, match="ray: the job failed"):
        list(RayCluster(workers=1).each(killing, (), [0]))


def test_a_cluster_without_room_is_named():
    with pytest.raises(StageError, match=r"the cluster has 2 processors and 0 GPUs.*64 processors and 0 GPUs"):
        list(RayCluster(threads=64).each(doubling, (), [0]))
    with pytest.raises(StageError, match=r"0 GPUs.*fix: ask for fewer"):
        list(RayCluster(gpus=0.5).each(doubling, (), [0]))


def test_what_can_not_be_sent_is_named():
    with pytest.raises(UsageError, match=r"can not be sent to workers.*lock"):
        list(RayCluster().each(doubling, (threading.Lock(),), [0]))


def test_a_cluster_that_does_not_answer_is_named():
    with socket.socket() as held:  # a port where nobody listens
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        code = f"list(RayCluster({address!r}).each(len, (), [0]))"
        script = f"from rankloom.distributed import RayCluster\n{code}"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert "StageError: ray: the Ray cluster can not be reached" in done.stderr
    assert address in done.stderr
    assert "fix: start one with `ray start --head`, or take `local`" in done.stderr


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rankloom\[ray\]'"):
        list(RayCluster().each(doubling, (), [0]))


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"threads": 0}, {"gpus": -1}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=f"ray: {next(iter(wrong))}"):
        RayCluster(**wrong)
