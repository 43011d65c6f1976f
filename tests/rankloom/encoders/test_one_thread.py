"""One thread of torch where that was asked for, and as many as before everywhere else."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from rankloom.encoders.one_thread import one_thread


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def in_a_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_other_threads_keep_theirs():
    with ThreadPoolExecutor(4, initializer=one_thread) as pool:
        barrier = threading.Barrier(4, timeout=30)

        def counted(_):
            barrier.wait()  # each of the four does one
            return torch.get_num_threads()

        assert list(pool.map(counted, range(4))) == [1, 1, 1, 1]
        assert torch.get_num_threads() == 3
        assert in_a_new_thread() == 3
    assert torch.get_num_threads() == 3
    assert in_a_new_thread() == 3
