"""Which addresses are this machine's own."""

import pytest

from rankloom.loopback import on_loopback


@pytest.mark.parametrize("url", ["http://localhost:80/v1", "http://LOCALHOST", "https://127.3.2.1", "http://[::1]:1/"])
def test_addresses_of_this_machine(url):
    assert on_loopback(url)


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1", "https://localhost.example.org", "http://127.0.0.1.example.org", "http://0.0.0.0", "x.db", ""],
)
def test_addresses_that_may_be_elsewhere(url):
    assert not on_loopback(url)
