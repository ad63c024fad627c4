"""Object code of the tests goes to a folder of their own."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """Keep what the tests compile out of the user's cache."""
    with pytest.MonkeyPatch.context() as patcher:
        patcher.setenv("GRAPHGDL_CACHE", str(tmp_path_factory.mktemp("object_code")))
        yield
