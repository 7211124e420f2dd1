"""Programs that call: one per token, with the path of its organization at hand."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from apps.core.public_ids import public_id
from apps.organizations.tokens.personal import create_personal_token
from apps.organizations.tokens.services import create_token
from tests.conftest import role


class Program:
    """A client of the API. Addresses begin at the organization: `/deployments`."""

    def __init__(self, secret: str, organization: Any) -> None:
        self.secret = secret
        self.root = f"/v1/organizations/{public_id('organization', organization.pk)}"
        headers = {"Authorization": f"Bearer {secret}"}
        self.client = Client(headers=headers, enforce_csrf_checks=True)

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(self._full(path), query)

    def post(self, path: str, body: Any = None) -> Any:
        return self.client.post(self._full(path), body or {}, content_type="application/json")

    def delete(self, path: str) -> Any:
        return self.client.delete(self._full(path))

    def _full(self, path: str) -> str:
        return path if path.startswith("/v1") else self.root + path


@pytest.fixture(autouse=True)
def _quiet() -> None:
    cache.clear()


@pytest.fixture
def program_of(organization) -> Callable[..., Program]:
    """Make the program of a person, who calls with a personal token."""

    def make(person: Any, at: Any = None, name: str = "CLI", **more: Any) -> Program:
        _, secret = create_personal_token(
            user=person, organization=at or organization, name=name, days=1, **more
        )
        return Program(secret, organization)

    return make


@pytest.fixture
def token_program(alice, organization) -> Callable[..., Program]:
    """Make the program of an API token with a role on something."""

    def make(on: Any, key: str) -> Program:
        _, secret = create_token(
            actor=alice, on=on, name="CI", role=role(type(on).access_scope, key), expires_at=None
        )
        return Program(secret, organization)

    return make
