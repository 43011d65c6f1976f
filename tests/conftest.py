"""Which tests keep together where they run in several processes."""

import pytest

# Folders whose tests share what takes long to start: a cluster, a Java machine, a server.
_TOGETHER = ("tests/distributed/", "tests/retrieval/lucene/", "tests/retrieval/milvus/")


@pytest.hookimpl(optionalhook=True)  # where pytest-xdist is installed
def pytest_xdist_make_scheduler(config, log):
    """A process takes a whole file, whose tests share fixtures, or a whole folder."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return next((folder for folder in _TOGETHER if nodeid.startswith(folder)), nodeid.partition("::")[0])

    return Together(config, log)
