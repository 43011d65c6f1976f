"""Which tests keep together where they run in several processes."""

from pathlib import Path

import pytest

# Folders whose tests share what takes long to start: a cluster, a Java machine, a server.
_TOGETHER = ("distributed", "retrieval/lucene", "retrieval/milvus")
_TESTS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # xdist's own reads the groups
def pytest_collection_modifyitems(config, items):
    """A process takes a whole file, whose tests share fixtures, or a whole folder."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        path = item.path.relative_to(_TESTS)
        folder = next((folder for folder in _TOGETHER if path.is_relative_to(folder)), None)
        item.add_marker(pytest.mark.xdist_group(folder or str(path)))
