"""A signed-in person who asks for pages through the whole stack of middleware."""

from collections.abc import Callable

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def getter(client: Client, address: str) -> Callable[[], object]:
    """Return a call that gets the page and fails unless it is served."""

    def get() -> object:
        response = client.get(address)
        if response.status_code != 200:
            raise RuntimeError(f"{address} answered {response.status_code}")
        return response.content

    return get


def n_queries(call: Callable[[], object]) -> int:
    """Count the queries of a call that was made before: the fewer of two, because now and then a
    request records the use of its session.
    """
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            call()
        counts.append(len(queries))
    return min(counts)
