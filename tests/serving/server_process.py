"""A server in a process of its own, started by the command line, that can be killed."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


class ServerProcess:
    """`rankloom serve` on a free port of loopback.

    Args:
        config: The YAML file.
    """

    def __init__(self, config):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "rankloom", "serve", str(config), "--port", "0", "--offline", "--no-cache"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        self.said = []
        while True:
            line = self.process.stderr.readline()
            assert line, f"the server did not start: {''.join(self.said)}"
            self.said.append(line)
            if told := re.search(r" at (http://\S+)", line):
                break
        threading.Thread(target=lambda: self.said.extend(self.process.stderr), daemon=True).start()
        self.client = httpx.Client(base_url=told[1], timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)

    def kill(self):
        """As the system does it when memory runs out: at once, with nothing put in order."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)
