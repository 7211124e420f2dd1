from collections.abc import Iterator
from typing import Any

import pytest

from tests.object_stores.servers import BUCKET, Server, s3_server


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def server(shared_server: Server, settings: Any) -> Iterator[Server]:
    """A server with one empty bucket, which the portal may reach."""
    settings.BUCKET_NETWORKS, settings.BUCKETS_ALLOW_HTTP = ("127.0.0.0/8",), True
    s3 = shared_server.client()
    s3.create_bucket(Bucket=BUCKET)
    yield shared_server
    for key in shared_server.objects():
        s3.delete_object(Bucket=BUCKET, Key=key)
    s3.delete_bucket(Bucket=BUCKET)
