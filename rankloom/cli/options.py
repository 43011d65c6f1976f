"""Options that several verbs have, and the session they make."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankloom.errors import UsageError
from rankloom.progress import Progress

if TYPE_CHECKING:
    from rankloom.distributed import RayCluster


class Output(StrEnum):
    """How a verb answers on standard output."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", help="json: nothing but JSON on standard output; messages go to standard error.")
]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", envvar="RANKLOOM_CACHE", help="Folder that remembers results; by default the user's."),
]
NoCacheOption = Annotated[bool, typer.Option("--no-cache", help="Remember nothing, and look nothing up.")]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Open no socket to another machine; a server on this one may be asked.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value: --set collection=scifact")
]
MeasureOption = Annotated[
    list[str] | None, typer.Option("--measure", "-m", help="A measure of ir-measures, such as AP; may be repeated.")
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="ADDRESS", help="Share the work out with Ray: local, auto, or HOST:PORT (extra ray)."
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", help="For --ray: how many workers; by default one for each processor.")
]
DEFAULT_MEASURES = ("nDCG@10", "R@100", "AP")


def cache_folder(cache: Path | None, *, no_cache: bool = False) -> Path | None:
    """The folder of the cache, which may not be there yet; None if there shall be none, whatever else is said."""
    if no_cache:
        return None
    if cache is not None:
        return cache
    from platformdirs import user_cache_path

    return user_cache_path("rankloom", appauthor=False)


def offline_choice(offline: bool) -> bool | None:
    """What a session is told: True, or None to look at the environment."""
    return offline or None


def ray_cluster(address: str | None, workers: int | None, *, verb: str) -> RayCluster | None:
    """The cluster that was asked for, if any.

    Raises:
        UsageError: Workers without a cluster.
    """
    if address is None:
        if workers is not None:
            raise UsageError("--workers is for --ray", stage=verb, fix="add --ray local")
        return None
    from rankloom.distributed import RayCluster

    return RayCluster(address, workers=workers)


def reporter() -> Progress:
    """What shows progress on standard error."""
    from rankloom.cli.progress import stderr_progress

    return stderr_progress()
