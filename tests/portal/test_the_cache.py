import json
from typing import Any

from django.core.cache import caches
from django_redis import get_redis_connection


def test_a_page_opens_while_nothing_answers_at_the_cache(
    alice: Any, deployment: Any, client_of: Any, settings: Any
) -> None:
    cache = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    client = client_of(alice)

    settings.CACHES = {**settings.CACHES, "default": cache}
    response = client.get(f"/d/{deployment.ref}/")

    assert caches["default"].get("anything") is None
    assert response.status_code == 200
    assert "etl-prod" in response.content.decode()


def test_what_is_cached_is_plain_json(alice: Any, client_of: Any) -> None:
    client_of(alice).get("/")

    server = get_redis_connection("default")
    values = [server.get(key) for key in server.scan_iter("portal:*")]

    assert any(b"_auth_user_id" in value for value in values)
    assert all(json.loads(value) for value in values)
