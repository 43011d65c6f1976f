"""The process that Lucene runs in: it may die, hang, or never start, and nobody waits for it in vain."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rankloom import Document
from rankloom.corpus import Corpus
from rankloom.errors import StageError
from rankloom.extras import installed
from rankloom.retrieval import Lucene
from rankloom.retrieval.lucene.process import LuceneProcess, lucene_process

pytestmark = [
    pytest.mark.skipif(not installed("pyserini"), reason="the extra 'lucene' is not installed"),
    pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system can not halt a process"),
]
SECONDS = 60.0  # more than any of these takes


@pytest.fixture(scope="module")
def lucene():
    return Lucene.of(Corpus.of([Document("d1", "The sky is blue."), Document("d2", "Tides follow the moon.")]))


@pytest.fixture
def process():
    return lucene_process()


def until(condition):
    """Wait for something that is about to happen."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def gone(pid):
    """Whether a process has ended (a zombie that nobody has waited for has)."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_one_process_for_all(lucene, process):
    lucene.warm_up()
    assert lucene_process() is process
    assert int(process.versions["java"].split(".")[0]) >= 21
    assert process.versions["lucene"]


def test_killed_in_the_middle_of_a_search(lucene, process):
    lucene.warm_up()
    os.kill(process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        searching = pool.submit(lucene.run, ["sky"])
        until(process._lock.locked)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(StageError, match=r"(?s)^lucene: its process ended by signal 9 at 'search'.*try again"):
            searching.result(SECONDS)
    assert list(lucene.run(["sky"])["q1"].doc_ids) == ["d1"]
    assert lucene_process().pid != process.pid


def test_killed_between_two_searches(lucene, process):
    process.stop()
    assert list(lucene.run(["moon"])["q1"].doc_ids) == ["d2"]


def test_killed_in_the_middle_of_a_build(process, tmp_path, monkeypatch):
    def dying(question, **arguments):
        if question == "finish":
            os.kill(process.pid, signal.SIGKILL)
        return ask(question, **arguments)

    ask = process.ask
    monkeypatch.setattr(process, "ask", dying)
    with pytest.raises(StageError, match="'finish'"):
        Lucene.build(Corpus.of([Document("d1", "sky")]), tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [10, 5_000_000])  # the second does not fit into the pipe
def test_no_answer_in_time(process, monkeypatch, size):
    monkeypatch.setattr(process, "_patience", 0.3)
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(StageError, match=r"no answer to 'analyze' within 0\.3 seconds"):
        process.ask("analyze", analyzer={}, text="x" * size)
    assert not process.running


def test_an_interrupted_question_does_not_answer_the_next(lucene, process):
    def interrupt(*_):
        raise KeyboardInterrupt

    os.kill(process.pid, signal.SIGSTOP)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            lucene.run(["sky"])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not process.running
    assert list(lucene.run(["moon"])["q1"].doc_ids) == ["d2"]


def test_a_refused_question_leaves_the_process_running(process):
    with pytest.raises(StageError, match="Lucene failed at 'no_such_question'"):
        process.ask("no_such_question")
    assert process.running


def test_java_that_does_not_start_shows_its_last_words(monkeypatch):
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:NoSuchOption")
    with pytest.raises(StageError, match=r"(?s)at 'versions'.*NoSuchOption") as caught:
        LuceneProcess()
    assert "JAVA_TOOL_OPTIONS" in str(caught.value)


@pytest.mark.parametrize("end", ["pass", "os.kill(os.getpid(), 9)"])
def test_the_process_ends_with_its_owner(end):
    code = f"""
import os
from rankloom.retrieval.lucene.process import lucene_process
held = lucene_process()
print(held.pid, flush=True)
{end}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False)
    pid = int(done.stdout)
    until(lambda: gone(pid))


def test_the_process_ends_with_the_last_index():
    code = """
from rankloom import Document
from rankloom.corpus import Corpus
from rankloom.retrieval import Lucene
from rankloom.retrieval.lucene.process import _processes
first, second = (Lucene.of(Corpus.of([Document("d", "sky")])) for _ in range(2))
process = first.index._process
popen = process._popen
del process
first.close()
assert popen.poll() is None and second.search("sky")
second.close()
popen.wait(60)  # the watchdog of the last question may hold it a moment longer
assert not _processes
assert first.search("sky")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
