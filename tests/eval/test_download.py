"""One file over HTTP, from a real server on this machine."""

import errno
import hashlib
import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DataError, NotFoundError, StageError, UsageError
from rankloom.eval.download import Downloaded, download
from rankloom.session import Session
from tests.web import Web, serving

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as running:
        running.put("file.bin", CONTENT)
        yield running


def get(web: Web, target: Path, **more: Any) -> Downloaded:
    return download(f"{web.url}/file.bin", target, **{"session": Session(offline=False), "wait": 0.01, **more})


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_verified_and_alone(web: Web, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.bin"
    got = get(web, target, sha256=SHA256, md5=hashlib.md5(CONTENT).hexdigest())
    assert target.read_bytes() == CONTENT
    assert (got.path, got.size, got.sha256) == (target, len(CONTENT), SHA256)
    assert leftovers(target.parent) == ["file.bin"]


@pytest.mark.parametrize("cuts", [[3000], [1, 2000, 5000], [3000, 0, 0, 3000]])
def test_a_cut_connection_is_gone_on_from(web: Web, tmp_path: Path, cuts: list[int]) -> None:
    web.cuts = list(cuts)
    assert get(web, tmp_path / "file.bin", sha256=SHA256).size == len(CONTENT)
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0 for _, asked in web.asked]
    assert starts == [sum(cuts[:place]) for place in range(len(cuts) + 1)]


def test_a_server_without_ranges_sends_all_again(web: Web, tmp_path: Path) -> None:
    web.ranges, web.cuts = False, [3000]
    get(web, tmp_path / "file.bin", sha256=SHA256)
    assert [asked for _, asked in web.asked] == [None, "bytes=3000-"]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("way", ["ranges", "validators"])
def test_longer_pieces_from_the_start_are_no_progress(web: Web, tmp_path: Path, way: str) -> None:
    """A server that always cuts, a bit later each time, would be asked for ever."""
    setattr(web, way, False)
    web.cuts = [1000 * number for number in range(1, 9)]
    with pytest.raises(StageError, match="3 times in a row"):
        get(web, tmp_path / "file.bin", attempts=3)
    assert len(web.asked) == 3


def test_without_a_version_nothing_is_gone_on_from(web: Web, tmp_path: Path) -> None:
    """What was held could be of another file, and no checksum would tell."""
    web.validators, web.cuts = False, [3000]
    get(web, tmp_path / "file.bin")
    assert [asked for _, asked in web.asked] == [None, None]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_got_anew(web: Web, tmp_path: Path) -> None:
    web.cuts = [3000]
    with pytest.raises(StageError, match="cut off after 3000 of 10240"):
        get(web, tmp_path / "file.bin", attempts=1)
    web.put("file.bin", CONTENT[::-1])
    get(web, tmp_path / "file.bin")
    assert web.asked[-1][1] == "bytes=3000-"
    assert (tmp_path / "file.bin").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize(("length", "measured"), [("told", True), ("chunks", True), ("untold", False)])
def test_who_tells_where_a_file_ends(web: Web, tmp_path: Path, length: str, measured: bool) -> None:
    web.length = length
    got = get(web, tmp_path / "file.bin", sha256=SHA256)
    assert (got.size, got.measured) == (len(CONTENT), measured)


def test_a_cut_in_chunks_is_noticed(web: Web, tmp_path: Path) -> None:
    web.length, web.cuts = "chunks", [3000]
    assert get(web, tmp_path / "file.bin", sha256=SHA256).measured
    assert len(web.asked) == 2


def test_only_a_checksum_notices_a_cut_of_a_file_whose_end_nobody_tells(web: Web, tmp_path: Path) -> None:
    web.length, web.cuts = "untold", [3000, 3000]
    with pytest.raises(DataError, match="SHA-256"):
        get(web, tmp_path / "file.bin", sha256=SHA256)
    assert leftovers(tmp_path) == []
    got = get(web, tmp_path / "file.bin")
    assert (got.size, got.measured) == (3000, False)


def test_what_had_arrived_whole_is_not_got_again(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the process was killed before the file got its name."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rankloom.eval.download.summed", killed)
    with pytest.raises(KeyboardInterrupt):
        get(web, tmp_path / "file.bin")
    monkeypatch.undo()
    get(web, tmp_path / "file.bin", sha256=SHA256)
    assert web.asked[1:] == [("/file.bin", "bytes=10240-")]


def test_a_wrong_checksum_leaves_nothing(web: Web, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"SHA-256 sum.*{SHA256}.*accepted: {'0' * 64}"):
        get(web, tmp_path / "file.bin", sha256="0" * 64)
    with pytest.raises(DataError, match="MD5"):
        get(web, tmp_path / "file.bin", md5="0" * 32)
    assert leftovers(tmp_path) == []


def test_a_file_that_is_not_there_is_asked_for_once(web: Web, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"404.*nowhere"):
        download(f"{web.url}/nowhere", tmp_path / "file.bin", session=Session(offline=False))
    assert len(web.asked) == 1
    web.statuses = [403]
    with pytest.raises(NotFoundError, match=r"403.*login"):
        get(web, tmp_path / "file.bin")


def test_an_overloaded_server_is_asked_again(web: Web, tmp_path: Path) -> None:
    web.statuses = [503, 429, 500]
    get(web, tmp_path / "file.bin", sha256=SHA256)
    assert len(web.asked) == 4
    web.statuses = [503] * 3
    with pytest.raises(StageError, match=r"3 times in a row.*503"):
        get(web, tmp_path / "file.bin", attempts=3)
    assert web.statuses == []


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/file.bin"
        with pytest.raises(StageError, match="2 times in a row"):
            download(url, tmp_path / "file.bin", session=Session(offline=False), attempts=2, wait=0.01)


def test_a_full_disk_is_not_tried_again(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        get(web, tmp_path / "file.bin")
    assert len(web.asked) == 1


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=6), ranges=st.booleans(), validators=st.booleans())
def test_however_it_is_cut_the_file_is_whole(cuts: list[int], ranges: bool, validators: bool) -> None:
    with serving() as web, TemporaryDirectory() as folder:
        web.put("file.bin", CONTENT)
        web.cuts, web.ranges, web.validators = cuts, ranges, validators
        get(web, Path(folder) / "file.bin", attempts=len(cuts) + 1, wait=0.0)
        assert (Path(folder) / "file.bin").read_bytes() == CONTENT
        assert leftovers(Path(folder)) == ["file.bin"]


def test_offline_opens_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(http.client.HTTPConnection, "connect", refuse)
    with pytest.raises(NotFoundError, match=r"offline.*http://127\.0\.0\.1:9/x"):
        download("http://127.0.0.1:9/x", tmp_path / "sub" / "x", session=Session(offline=True))
    assert leftovers(tmp_path) == []


def test_only_the_web(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    with pytest.raises(UsageError, match="not an address of the web"):
        download((tmp_path / "secret").as_uri(), tmp_path / "x", session=Session(offline=False))


def test_a_redirected_download_goes_on_too(web: Web, tmp_path: Path) -> None:
    """The Hugging Face Hub sends every large file from elsewhere."""
    web.moved, web.cuts = {"/here.bin": "/file.bin"}, [3000]
    download(f"{web.url}/here.bin", tmp_path / "x", session=Session(offline=False), sha256=SHA256, wait=0.01)
    assert [asked for path, asked in web.asked if path == "/file.bin"] == [None, "bytes=3000-"]


def test_a_mirror_of_the_hub(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{web.url}/")
    web.put("datasets/a/b", b"mirrored")
    url = "https://huggingface.co/datasets/a/b"
    assert download(url, tmp_path / "b", session=Session(offline=False)).path.read_bytes() == b"mirrored"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_download_goes_on(web: Web, tmp_path: Path) -> None:
    web.pause = 0.05
    code = (
        "import sys; from pathlib import Path; from rankloom.session import Session\n"
        "from rankloom.eval.download import download\n"
        "import rankloom.eval.download as module; module._BLOCK = 500\n"
        "download(sys.argv[1], Path(sys.argv[2]), session=Session(offline=False))\n"
    )
    target, part = tmp_path / "file.bin", tmp_path / "file.bin.part"
    process = subprocess.Popen([sys.executable, "-c", code, f"{web.url}/file.bin", str(target)])
    deadline = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held = part.stat().st_size
    assert 0 < held < len(CONTENT)
    assert not target.exists()
    web.pause = 0.0
    get(web, target, sha256=SHA256)
    assert web.asked[-1] == ("/file.bin", f"bytes={held}-")
