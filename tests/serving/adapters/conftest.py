"""Tests of a host that is not installed are left out, and the header says so; in CI all must be there."""

import os
from importlib.util import find_spec

_HOSTS = {
    "test_langchain.py": "langchain_core",
    "test_llama_index.py": "llama_index",
    "test_haystack.py": "haystack",
}
os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")  # read when the host is imported
_CI = os.environ.get("CI") == "true"
collect_ignore = [file for file, host in _HOSTS.items() if find_spec(host) is None and not _CI]


def pytest_report_header():
    return [f"{file} is left out: its host is not installed (extra `test`)" for file in collect_ignore]
