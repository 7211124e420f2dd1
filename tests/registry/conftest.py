from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache

from apps.registry.queries import configuration
from apps.registry.signing import bundle
from tests.registry.registries import free_port
from tests.registry.registries import registry as running_registry


@pytest.fixture
def registry(live_server: Any, settings: Any, tmp_path: Path) -> Iterator[str]:
    """A real registry that believes the portal of `live_server`."""
    cache.clear()
    port = free_port()
    settings.PORTAL_URL, settings.REGISTRY = live_server.url, f"127.0.0.1:{port}"
    settings.REGISTRY_NETWORKS = ("127.0.0.0/8",)
    certificates = tmp_path / "bundle.pem"
    certificates.write_text(bundle())
    auth = configuration(bundle_path=str(certificates))
    with running_registry(tmp_path, port=port, auth=auth) as address:
        yield address
