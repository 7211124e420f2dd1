from collections.abc import Iterator
from typing import Any

import pytest

from tests.own_images.fake import FakeRegistry, fake_registry


@pytest.fixture
def registry(settings: Any) -> Iterator[FakeRegistry]:
    """A registry on this machine that the portal may ask."""
    settings.REGISTRY_NETWORKS = ("127.0.0.0/8",)
    settings.REGISTRIES_ALLOW_HTTP = True
    with fake_registry() as fake:
        yield fake
