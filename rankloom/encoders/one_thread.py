"""torch with one thread in some threads of Python, whatever it has in others."""

from __future__ import annotations

import threading

import torch

_ONE_AT_A_TIME = threading.Lock()


def one_thread() -> None:
    """Let torch compute with one thread what the calling thread asks for; called by threads that do nothing else.

    torch keeps the number for each thread that calls it, but threads that begin later have what was set last. Another
    thread sets that back at once.
    """
    with _ONE_AT_A_TIME:
        usual = torch.get_num_threads()
        torch.set_num_threads(1)
        other = threading.Thread(target=torch.set_num_threads, args=(usual,))
        other.start()
        other.join()
