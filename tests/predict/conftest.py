"""A small flow whose model the batches ask, made once."""

from artifact_flow.core.base import determinism  # noqa: F401, I001 - first: it must pin the process before numpy is imported

import pytest
from unit.own import Flow, make_flow


@pytest.fixture(scope="session")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """A classifier of a table with numbers, booleans, dates, text and gaps, in a folder of its own."""
    return make_flow(tmp_path_factory.mktemp("flow"))
