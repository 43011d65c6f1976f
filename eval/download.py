"""One file over HTTP: goes on where it was cut off, tries again, and counts only when its checksum holds.

What has arrived lies in `NAME.part` beside the file to be, and what is needed to go on in `NAME.part.json`. The file
itself appears when it is whole and verified.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rankloom.errors import DataError, NotFoundError, StageError, UsageError
from rankloom.files import write_json
from rankloom.progress import Advance
from rankloom.session import Session

_STAGE = "download"
_BLOCK = 1 << 20
_SECONDS_OF_SILENCE = 60.0  # how long a server may say nothing
_LONGEST_WAIT = 60.0
_HUB = "https://huggingface.co"
#: What the disk says no to; no further attempt mends it.
_REFUSALS = frozenset({errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO})
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that has arrived.

    Args:
        path: The file.
        size: In bytes.
        md5: Its MD5 sum.
        sha256: Its SHA-256 sum.
        measured: Whether the server told where the file ends. If not, a file that was cut off looks like a whole one,
            and only a published checksum tells them apart.
    """

    path: Path
    size: int
    md5: str
    sha256: str
    measured: bool


def download(
    url: str,
    target: Path,
    *,
    session: Session,
    md5: str | None = None,
    sha256: str | None = None,
    size: int | None = None,
    headers: Mapping[str, str] | None = None,
    attempts: int = 5,
    wait: float = 1.0,
) -> Downloaded:
    """Download a file, or what is missing of it.

    Args:
        url: Its address, http or https. Where the environment has HF_ENDPOINT, it stands in for the Hugging Face Hub.
        target: The file to be; parents are made. What is there already is replaced.
        session: Its `offline` forbids the download, its `progress` shows it in bytes.
        md5: The MD5 sum it must have; not checked if None.
        sha256: The SHA-256 sum it must have; not checked if None.
        size: Its size as published, for the progress; the server's word goes before it.
        headers: What to tell the server besides.
        attempts: How often in a row to try without a byte more than before; where the server can not go on from what
            has arrived, so that each attempt starts again, how often to try at all.
        wait: Seconds before the second attempt; twice as long before each one after, up to a minute.

    Raises:
        NotFoundError: The session is offline (no socket is opened), or the server has no such file.
        StageError: The server could not be reached, or failed, in every attempt; what has arrived is kept.
        DataError: The checksum does not hold; what has arrived is thrown away.
        UsageError: Not an address of the web.
        OSError: The disk is full or refuses; what has arrived is kept.
    """
    address = _address(url, session)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(address, target.with_name(f"{target.name}.part"))
    with session.progress.task(f"download {target.name}", size or 0) as advance:
        measured = part.complete(headers or {}, attempts=attempts, wait=wait, advance=advance)
        arrived = summed(part.path, target, measured=measured)
        for kind, expected, found in (("MD5", md5, arrived.md5), ("SHA-256", sha256, arrived.sha256)):
            if expected is not None and expected != found:
                part.discard()
                raise DataError(
                    f"the {kind} sum of the download is not the expected one, so it has been thrown away",
                    stage=_STAGE,
                    value=f"{address}: {found}",
                    accepted=expected,
                    fix="try again; if it stays so, the file at its source has changed",
                )
        part.path.replace(target)
        part.discard()
    return arrived


def summed(path: Path, target: Path, *, measured: bool) -> Downloaded:
    """Size and checksums of a file that is, or will be, called `target`."""
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            md5.update(block)
            sha256.update(block)
            size += len(block)
    return Downloaded(target, size, md5.hexdigest(), sha256.hexdigest(), measured)


def _address(url: str, session: Session) -> str:
    """Where to ask for a file, if the network may be asked at all."""
    if session.offline:
        raise NotFoundError(
            "the session is offline, and this would have to be downloaded",
            stage=_STAGE,
            value=url,
            fix="run once with the network on (without --offline, RANKLOOM_OFFLINE and HF_HUB_OFFLINE)",
        )
    if not url.startswith(("http://", "https://")):
        raise UsageError("not an address of the web", stage=_STAGE, value=url, accepted="http://, https://")
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    if endpoint and url.startswith(f"{_HUB}/"):
        return endpoint + url.removeprefix(_HUB)
    return url


class _Part:
    """What has arrived of a file, and the getting of the rest.

    Args:
        url: The file's address.
        path: Where it arrives.
    """

    def __init__(self, url: str, path: Path) -> None:
        self.url, self.path = url, path
        self._state = path.with_name(f"{path.name}.json")
        self._resumed = False  # whether the last attempt went on behind what was held

    def complete(self, headers: Mapping[str, str], *, attempts: int, wait: float, advance: Advance) -> bool:
        """Get what is missing, in as many attempts as it takes while some of them bring something.

        Returns:
            Whether the server told where the file ends.
        """
        failures = 0
        advance(self._size())
        while True:
            before, self._resumed = self._size(), False
            try:
                return self._get(headers, advance)
            except (OSError, http.client.HTTPException) as error:
                if getattr(error, "errno", None) in _REFUSALS:
                    raise
                # a longer piece of a file that starts again each time brings nobody nearer to its end
                failures = 1 if self._resumed and self._size() > before else failures + 1
                asked = _asked_wait(error)
                if failures >= attempts:
                    raise StageError(
                        f"the download failed {failures} times in a row ({error})",
                        stage=_STAGE,
                        value=self.url,
                        fix="run the same command again; it goes on where this one stopped",
                    ) from error
                time.sleep(min(max(wait * 2 ** (failures - 1), asked), _LONGEST_WAIT))

    def discard(self) -> None:
        """Remove what has arrived."""
        self.path.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def _get(self, headers: Mapping[str, str], advance: Advance) -> bool:
        """One attempt, as `complete`; an OSError means that another one may help."""
        held, validator = self._held()
        request = urllib.request.Request(self.url, headers={"User-Agent": "rankloom", **headers})  # noqa: S310 - web
        if held:
            request.add_header("Range", f"bytes={held}-")
            request.add_header("If-Range", validator)
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS_OF_SILENCE) as answer:  # noqa: S310 - web only
                return self._receive(answer, held, advance)
        except urllib.error.HTTPError as error:
            if error.code == 416 and error.headers["Content-Range"] == f"bytes */{held}":
                return True  # everything had arrived
            if error.code == 416:  # what is held is not a beginning of what is there now
                advance(-held)
                self.discard()
                raise ConnectionError("the server has no more of this file; starting again") from error
            if error.code not in _TRY_AGAIN:
                raise NotFoundError(
                    f"the server answers {error.code} ({error.reason})",
                    stage=_STAGE,
                    value=self.url,
                    fix="the file may have moved, or may ask for a login; see the collection's home page",
                ) from error
            raise

    def _receive(self, answer: http.client.HTTPResponse, held: int, advance: Advance) -> bool:
        """Write the body of an answer, behind what is held if the server sends the rest, else from the start.

        Returns:
            Whether the answer told where it ends: by its length, or in chunks, whose reader misses the last one.
        """
        self._resumed = answer.status == 206 and str(answer.headers["Content-Range"]).startswith(f"bytes {held}-")
        if answer.status == 206 and not self._resumed:
            raise ConnectionError("the server sends another part of the file than was asked for")
        if not self._resumed:
            advance(-held)
            held = 0
            self.discard()
            write_json(self._state, {"url": self.url, "validator": _validator(answer)})
        with self.path.open("ab") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                advance(len(block))
            file.flush()
            os.fsync(file.fileno())
        promised = answer.headers["Content-Length"]
        if promised is not None and self._size() != held + int(promised):
            raise ConnectionError(f"cut off after {self._size()} of {held + int(promised)} bytes")
        return promised is not None or bool(answer.chunked)

    def _held(self) -> tuple[int, str]:
        """How many bytes can be gone on from, and the proof that they are of the same file; 0 if there is none."""
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
            if state["url"] == self.url and state["validator"] and self._size():
                return self._size(), str(state["validator"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no state, or one that a killed process left unfinished: start from the beginning
        return 0, ""

    def _size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0


def _validator(answer: http.client.HTTPResponse) -> str:
    """What tells this version of a file from another: a strong entity tag, else the date of its last change."""
    tag = answer.headers["ETag"] or ""
    return tag if tag and not tag.startswith("W/") else answer.headers["Last-Modified"] or ""


def _asked_wait(error: BaseException) -> float:
    """The seconds that a server asks to be left alone, 0 if it does not say."""
    said = error.headers["Retry-After"] if isinstance(error, urllib.error.HTTPError) else None
    return float(said) if said and said.isdecimal() else 0.0
