"""Archives that can not be trusted: each is an error that names the file and the fix, and nothing is left out."""

import gzip
import io
import random
import tarfile
import warnings
import zipfile
from pathlib import Path
from uuid import uuid4

import pytest

from rankloom.errors import DataError
from rankloom.eval.unpack import unpack
from tests.archives import tarred, zipped

FILES = {"a/one": "".join(random.Random(1).choices("abcdefgh\n", k=5000)), "a/two": "2" * 700, "three": "3"}


def written(tmp_path: Path, suffix: str, content: bytes) -> Path:
    archive = tmp_path / f"archive{suffix}"
    archive.write_bytes(content)
    return archive


def refused(archive: Path, problem: str) -> None:
    said = rf"^unpack: the archive {problem}.*{archive.name}.*fix: download it again.*$"  # in one line
    with pytest.raises(DataError, match=said):
        unpack(archive, archive.with_name(uuid4().hex))


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_all_files_of_an_archive(suffix: str, tmp_path: Path) -> None:
    archive = written(tmp_path, suffix, zipped(FILES) if suffix == ".zip" else tarred(FILES))
    found = unpack(archive, tmp_path / "into")
    assert {name: (tmp_path / "into" / name).read_text() for name in found} == FILES
    assert {name: member.size for name, member in found.items()} == {name: len(text) for name, text in FILES.items()}


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "C:/out", "..\\out", "."])
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_an_archive_writes_nowhere_else(name: str, suffix: str, tmp_path: Path) -> None:
    content = zipped({name: "x"}) if suffix == ".zip" else tarred({name: "x"})
    refused(written(tmp_path, suffix, content), "holds a path that leads out of it")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_no_archive_and_half_of_one(suffix: str, tmp_path: Path) -> None:
    whole = zipped(FILES) if suffix == ".zip" else tarred(FILES)
    for content in (b"no archive", whole[: len(whole) // 2]):
        refused(written(tmp_path, suffix, content), "can not be read")


@pytest.mark.parametrize("place", range(60, 1500, 120))
def test_a_damaged_zip(place: int, tmp_path: Path) -> None:
    """In the midst of a deflate stream, zlib speaks up, or the checksum does."""
    content = bytearray(zipped(FILES))
    content[place] ^= 0xFF
    refused(written(tmp_path, ".zip", bytes(content)), "can not be read")


@pytest.mark.parametrize("place", range(0, 8192, 512))
def test_a_tar_damaged_before_it_was_compressed_or_after(place: int, tmp_path: Path) -> None:
    """A damaged header would pass for the end of the archive, were it not for gzip's checksum."""
    plain = bytearray(gzip.decompress(tarred(FILES)))
    assert len(plain) > 8192
    whole = gzip.compress(bytes(plain), mtime=0)
    plain[place + 150] ^= 0xFF
    damaged = gzip.compress(bytes(plain), mtime=0)[:-8] + whole[-8:]  # the checksum is the true one
    refused(written(tmp_path, ".tar.gz", damaged), "can not be read")


def test_a_damaged_deflate_stream_in_a_tar(tmp_path: Path) -> None:
    content = bytearray(tarred(FILES))
    for place in range(100, len(content) - 100, 150):
        content[place] ^= 0xFF
        refused(written(tmp_path, ".tar.gz", bytes(content)), "can not be read")
        content[place] ^= 0xFF


def test_an_encrypted_zip(tmp_path: Path) -> None:
    content = bytearray(zipped({"a": "x"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    refused(written(tmp_path, ".zip", bytes(content)), "is encrypted")


def test_a_compression_that_python_does_not_know(tmp_path: Path) -> None:
    content = bytearray(zipped({"a": "x"}))
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(signature) + offset] = 9  # Deflate64
    refused(written(tmp_path, ".zip", bytes(content)), "can not be read")


@pytest.mark.parametrize("names", [("a", "a"), ("a/b", "./a/b"), ("a", "a/b"), ("a/b", "a")])
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_one_path_twice(names: tuple[str, str], suffix: str, tmp_path: Path) -> None:
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile warns who writes a name twice
        if suffix == ".zip":
            with zipfile.ZipFile(content, "w") as archive:
                for name in names:
                    archive.writestr(name, "x")
        else:
            with tarfile.open(fileobj=content, mode="w:gz") as archive:
                for name in names:
                    archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    refused(written(tmp_path, suffix, content.getvalue()), "holds one path twice")
