"""A real server on loopback, in a thread of the test, and a stage that behaves as a test needs it."""

import threading
import time
from contextlib import contextmanager
from typing import ClassVar

import httpx
import uvicorn

from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Document
from rankloom.serving.app import create_app
from rankloom.serving.config import ServeFile
from rankloom.serving.server import Server
from rankloom.stage import Reranker

DOCUMENTS = [
    Document("sky", "Air scatters blue light. So the sky is blue. Bread needs yeast.", "The sky", {"year": 1871}),
    Document("sea", "The sea is blue. It mirrors the sky.", "The sea"),
    Document("moon", "Tides follow the moon. The moon pulls the sea."),
    Document("grass", "Grass is green."),
]


class ByLength(Reranker):
    """Scores hits by the length of their text, as logits; waits for, sleeps over and chokes on what it is told to."""

    name = "by_length"
    gate = None  # an event that is waited for before anything is returned
    seconds = 0.0
    batches: ClassVar = []  # how many queries each call had
    chokes = "poison"

    def __call__(self, run):
        type(self).batches.append(len(run))
        if self.gate is not None:
            self.gate.wait(60)
        time.sleep(self.seconds)
        ranking, texts = run.hits(stage=self.name), run.texts(stage=self.name)
        lists = []
        for number, query in enumerate(run.queries):
            documents = texts.get(ranking.doc_ids(number))
            if any(self.chokes in one.text for one in documents) or self.chokes in query.text:
                raise RuntimeError("the model choked")
            lists.append([(one.id, float(len(one.text)) / 10) for one in documents])
        return run.ranked(Ranking.from_lists(lists, stage=self.name, kind=ScoreKind.LOGIT))


class ByLengthSlowly(ByLength):
    """Takes a second."""

    name = "by_length_slowly"
    seconds = 1.0


BY_LENGTH = f"{ByLength.__module__}:ByLength"


@contextmanager
def serving(values):
    """A client of a server of a configuration: values, or the path of a YAML file."""
    file = ServeFile.of(values) if isinstance(values, dict) else ServeFile.read(values)
    with running(Server(file, offline=True)) as client:
        yield client


@contextmanager
def running(server):
    """A client of a server; `client.server` is that."""
    config = uvicorn.Config(create_app(server), host="127.0.0.1", port=0, log_level="warning", access_log=False)
    process = uvicorn.Server(config)
    listening = config.bind_socket()
    thread = threading.Thread(target=process.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not process.started:
        assert thread.is_alive()
        time.sleep(0.005)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, timeout=60) as found:
            found.server, found.process = server, process
            yield found
    finally:
        process.should_exit = True
        thread.join(60)
        assert not thread.is_alive()
