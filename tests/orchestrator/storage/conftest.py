from collections.abc import Iterator

import pytest

from tests.orchestrator.storage.s3_server import Server, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that speaks S3, with an empty bucket `sweeps`."""
    with s3_server() as there:
        yield there
