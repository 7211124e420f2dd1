"""Every address of the portal, by name, as the URLconf has it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

# Operations have a table of their own: test_api_matrix.
API = "v1/"


@dataclass(frozen=True)
class Address:
    name: str
    route: str
    view: Any

    @property
    def app(self) -> str:
        return self.name.partition(":")[0] if ":" in self.name else "account"

    @property
    def stamp(self) -> tuple[str, str, str] | None:
        return getattr(self.view, "access_stamp", None)


def addresses() -> list[Address]:
    """List the pages, and all other addresses but the operations of the API."""
    return [one for one in every_address() if not one.route.startswith(API)]


def every_address() -> list[Address]:
    return list(_walk(get_resolver().url_patterns, "", ""))


def _walk(
    patterns: list[URLPattern | URLResolver], route: str, namespace: str
) -> Iterator[Address]:
    for pattern in patterns:
        here = route + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inside = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _walk(pattern.url_patterns, here, inside)
        else:
            yield Address(f"{namespace}{pattern.name}", here, pattern.callback)
