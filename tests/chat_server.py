"""A real HTTP server on loopback that speaks OpenAI's chat completions, and misbehaves as it is told."""

import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def echo(body):
    """Repeats the request: by default what the server says."""
    return " ".join(message["content"] for message in body["messages"])


class Misbehaviour:
    """What is done instead of answering: a status, a body that is no JSON, a pause, a line that goes dead."""

    def __init__(self, *, status=200, body=None, headers=None, pause=0.0, dies=False):
        self.status, self.body, self.headers, self.pause, self.dies = status, body, headers or {}, pause, dies


class ChatServer:
    """Answers by `says`, but does what the next entry of `script`, or else `trouble`, tells where that is not None."""

    def __init__(self, port=0):
        self.requests, self.keys, self.times, self.script = [], [], [], []
        self.answered, self.trouble, self.gone = [], lambda _: None, False
        self.says, self.finish, self.usage = echo, "stop", True
        self.likeliest = None  # request -> for each token of the output, the likeliest ones and their log probabilities
        self.under_way = self.most = 0
        self.gate, self.lock = None, threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                server.handle(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def die(self):
        """Be gone: connections are reset, and no new ones come about."""
        with self.lock:
            begun, self.gone = not self.gone, True
        if begun:
            self.close()

    def paid(self, model):
        """The prompts that a model has answered."""
        return [body["messages"][-1]["content"] for body in self.answered if body["model"] == model]

    @property
    def prompts(self):
        """The requests' own texts, in the order in which they came."""
        return [body["messages"][-1]["content"] for body in self.requests]

    def handle(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self.lock:
            self.requests.append(body)
            self.keys.append(handler.headers["Authorization"])
            self.times.append(time.monotonic())
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            told = self.script.pop(0) if self.script else self.trouble(body)
            if told is None and not self.gone:
                self.answered.append(body)
            gone = self.gone
        if gone:
            self.reset(handler)
            return
        if self.gate is not None:
            self.gate.wait(1)
        with self.lock:
            self.under_way -= 1
        if told is None:
            self.send(handler, 200, {}, json.dumps(self.reply(body)).encode())
            return
        time.sleep(told.pause)
        data = told.body if told.body is not None else json.dumps({"error": {"message": "no"}}).encode()
        self.send(handler, told.status, told.headers, data, dies=told.dies)

    def reset(self, handler):
        """End a connection as a crash does: the other side finds it reset."""
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    def send(self, handler, status, headers, data, *, dies=False):
        try:
            handler.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": len(data), **headers}.items():
                handler.send_header(name, str(value))
            handler.end_headers()
            if dies:  # half of the reply, and no more
                handler.wfile.write(data[: len(data) // 2])
                handler.connection.shutdown(socket.SHUT_RDWR)
                handler.close_connection = True
            else:
                handler.wfile.write(data)
        except OSError:  # the client has given up
            handler.close_connection = True

    def reply(self, body):
        places = self.likeliest(body) if body.get("logprobs") and self.likeliest else None
        places = places and [sorted(one.items(), key=lambda item: -item[1]) for one in places[: body["max_tokens"]]]
        text = "".join(one[0][0] for one in places) if places else self.says(body)
        words = sum(len(message["content"].split()) for message in body["messages"])
        usage = {"prompt_tokens": words, "completion_tokens": len((text or "").split())}
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": self.finish}
        if places is not None:
            listed = [
                [{"token": token, "logprob": value} for token, value in one[: body["top_logprobs"]]] for one in places
            ]
            choice["logprobs"] = {"content": [{**one[0], "top_logprobs": one} for one in listed]}
        return {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice]} | (
            {"usage": usage} if self.usage else {}
        )
