"""What an experiment ran on: processor, memory, accelerator, threads. Imports nothing that is not loaded already."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

#: Environment variables that set the threads of numerical libraries.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_CPUINFO = Path("/proc/cpuinfo")


def hardware() -> dict[str, Any]:
    """The machine as JSON values; None for what it does not tell.

    Accelerators are named only when torch is loaded: an experiment that did not need it did not use one.
    """
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "usable_cores": _usable_cores(),
        "memory_bytes": _memory(),
        "accelerators": _accelerators(),
        "threads": _threads(),
    }


def processor() -> str | None:
    """The model of the processor."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return next(named, None) or platform.processor() or None


def _usable_cores() -> int | None:
    """Cores that this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory() -> int | None:
    """Bytes of main memory."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows, or a system without these
        return None


def _accelerators() -> list[str] | None:
    """Names of the GPUs that torch sees; None if torch is not loaded."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return None
    if torch.cuda.is_available():
        return [str(torch.cuda.get_device_name(number)) for number in range(torch.cuda.device_count())]
    return ["mps"] if torch.backends.mps.is_available() else []


def _threads() -> dict[str, Any]:
    """Threads of numerical libraries: of those that are loaded, and as the environment sets them."""
    found: dict[str, Any] = {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ}
    torch: Any = sys.modules.get("torch")
    faiss: Any = sys.modules.get("faiss")
    if torch is not None:
        found["torch"] = torch.get_num_threads()
    if faiss is not None:
        found["faiss"] = faiss.omp_get_max_threads()
    return found
