"""A real process is killed, told to end, told to read its file again, and runs out of disk."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from rankloom.corpus import Corpus
from rankloom.serving.live_index import LiveIndex
from tests.serving.loopback import BY_LENGTH
from tests.serving.server_process import ServerProcess

pytestmark = pytest.mark.slow  # a process takes some seconds to start


def config(folder, **values):
    path = folder / "serve.yaml"
    path.write_text(json.dumps({"index": "index", "live": True, "pipelines": {"plain": ["bm25"]}, **values}))
    return path


def put(client, *ids, text="A text about the sky."):
    documents = [{"id": doc_id, "text": f"{text} {doc_id}"} for doc_id in ids]
    return client.put("/v1/documents", json={"documents": documents})


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_in_the_middle_of_writing_loses_no_document_that_was_acknowledged(tmp_path, seed):
    draw, path = random.Random(seed), config(tmp_path)
    acknowledged, gone = {}, set()

    def write(client):
        for number in range(10_000):
            ids = [f"d{draw.randrange(40)}" for _ in range(draw.randint(1, 3))]
            try:
                if draw.random() < 0.3:
                    touched.update(ids)
                    client.post("/v1/documents/delete", json={"ids": ids}).raise_for_status()
                    gone.update(ids)
                    for doc_id in ids:
                        acknowledged.pop(doc_id, None)
                else:
                    ids = sorted(set(ids))
                    touched.update(ids)
                    put(client, *ids, text=f"Text {number} about the sky.").raise_for_status()
                    acknowledged.update({doc_id: f"Text {number} about the sky. {doc_id}" for doc_id in ids})
                    gone.difference_update(ids)
                touched.clear()
            except httpx.TransportError:
                return

    touched = set()  # of the one change that was under way: it may be made or not
    with ServerProcess(path) as server:
        writer = threading.Thread(target=write, args=(server.client,))
        writer.start()
        while not acknowledged:
            time.sleep(0.001)
        time.sleep(draw.uniform(0.2, 1.0))
        server.kill()
        writer.join(60)
    assert acknowledged
    live = LiveIndex.open(tmp_path / "index")
    found = {hit.doc_id: hit.text for hit in live.retriever("bm25", {}).search("sky", 100)}
    for doc_id, text in acknowledged.items():
        if doc_id not in touched:
            assert live.get(doc_id).text == text
            assert found[doc_id] == text
    assert not (gone - touched) & found.keys()
    assert {doc_id: live.get(doc_id).text for doc_id in found} == found
    assert len(live) == len(found)
    live.close()


def test_who_is_told_to_end_answers_first(tmp_path):
    path = config(tmp_path, pipelines={"order": [BY_LENGTH + "Slowly"]}, live=False, index=None)
    body = {"query": "q", "documents": ["x", "yy"]}
    with ServerProcess(path) as server, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(server.client.post, "/v1/rerank", json=body) for _ in range(4)]
        while "rankloom_requests_under_way 5.0" not in server.client.get("/metrics").text:  # with this one itself
            assert not any(one.done() for one in asked)  # each takes a second
        server.process.send_signal(signal.SIGTERM)
        assert [one.result().status_code for one in asked] == [200] * 4
        assert server.process.wait(60) in (0, -signal.SIGTERM)
        with pytest.raises(httpx.TransportError):
            server.client.get("/health")
    assert not any("Traceback" in line for line in server.said)


def test_a_changed_file_is_served_and_no_request_is_dropped(tmp_path):
    path = config(tmp_path)
    with ServerProcess(path) as server:
        put(server.client, "sky", "sea").raise_for_status()
        ended, statuses = threading.Event(), []

        def ask():
            with httpx.Client(base_url=server.client.base_url, timeout=60) as client:
                while not ended.is_set():
                    statuses.append(client.post("/v1/search", json={"query": "sky", "pipeline": "plain"}).status_code)

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        for number in range(3):
            config(tmp_path, pipelines={"plain": ["bm25"], f"new{number}": ["bm25", {"top": 1}]})
            if number == 0:
                server.process.send_signal(signal.SIGHUP)
            else:
                server.client.post("/v1/reload").raise_for_status()
            end = time.monotonic() + 60
            while f"new{number}" not in server.client.get("/v1/pipelines").text:
                assert time.monotonic() < end
                time.sleep(0.01)
            put(server.client, f"more{number}").raise_for_status()  # the live index went over to the new service
        path.write_text("pipelines: {plain: [bm26]}")
        assert server.client.post("/v1/reload").status_code == 500
        assert server.client.post("/v1/reload").json()["value"] == "'bm26'"
        ended.set()
        for asker in askers:
            asker.join(60)
        assert len(statuses) > 20
        assert set(statuses) == {200}
        found = server.client.post("/v1/search", json={"query": "sky", "pipeline": "new2", "k": 100}).json()
        assert len(found["hits"]) == 1
        assert server.client.get("/ready").json()["documents"] == 5


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=False)
    if made.returncode:
        pytest.skip("this system lets nobody mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_no_document(small_disk):
    path = config(small_disk)
    kept = {}
    with ServerProcess(path) as server:
        for number in range(400):
            ids = [f"{number}-{part}" for part in range(4)]
            answer = put(server.client, *ids, text="The sky. " * 500)
            if answer.status_code != 200:
                break
            kept |= {doc_id: "The sky. " * 500 + f" {doc_id}" for doc_id in ids}
        assert answer.status_code == 507, answer.text
        assert answer.json()["detail"] == "the disk of the server is full"
        assert kept
        for _ in range(3):
            assert put(server.client, "more", text="x" * 150_000).status_code == 507
        assert server.client.get("/health").status_code == 200
        found = server.client.post("/v1/search", json={"query": "sky", "k": 100}).json()["hits"]
        assert len(found) == min(100, len(kept))
        assert all(hit["text"] == kept[hit["doc_id"]] for hit in found)
        for doc_id, text in kept.items():
            assert server.client.get(f"/v1/documents/{doc_id}").json()["text"] == text
        subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
        assert put(server.client, "later").status_code == 200
        found = server.client.post("/v1/search", json={"query": "later", "k": 100}).json()["hits"]
        assert [hit["doc_id"] for hit in found] == ["later"]
        server.kill()
    live = LiveIndex.open(small_disk / "index")
    assert {doc_id: live.get(doc_id).text for doc_id in kept} == kept
    assert len(Corpus.of(live._store.all(live.change))) == len(live)
    live.close()
