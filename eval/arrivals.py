"""What has arrived whole of an unfinished download, so that going on fetches only the rest."""

from __future__ import annotations

import json
from pathlib import Path

from rankloom.eval.download import Downloaded, summed
from rankloom.files import write_json


class Arrivals:
    """A note on disk beside a download: address -> checksum of what came from there.

    It tells what a process that died had verified: the first files of a list, an archive that was not unpacked yet.

    Args:
        path: Where the note lies, until `discard`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, url: str, arrived: Downloaded) -> None:
        """Note a file that has arrived and was found good."""
        write_json(self.path, {**self._noted(), url: {"sha256": arrived.sha256, "measured": arrived.measured}})

    def get(self, url: str, target: Path) -> Downloaded | None:
        """The file that came from an address, if it is still what arrived; None if it has to be fetched."""
        noted = self._noted().get(url)
        if noted is None or not target.is_file():
            return None
        found = summed(target, target, measured=noted["measured"] is True)
        return found if found.sha256 == noted["sha256"] else None

    def discard(self) -> None:
        """Forget, once the download is finished."""
        self.path.unlink(missing_ok=True)

    def _noted(self) -> dict[str, dict[str, object]]:
        """What the note says; nothing where there is none that can be read."""
        try:
            noted = json.loads(self.path.read_text(encoding="utf-8"))
            return {url: {"sha256": one["sha256"], "measured": one["measured"]} for url, one in noted.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
