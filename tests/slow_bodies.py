"""Requests whose client waits with the body, until something else has happened."""

from collections.abc import Callable
from typing import Any

from django.test.client import FakePayload


class Slowly(FakePayload):
    """A body; `meanwhile` happens before its first byte arrives."""

    def __init__(self, content: bytes, meanwhile: Callable[[], Any]) -> None:
        super().__init__(content)
        self.meanwhile: Callable[[], Any] | None = meanwhile

    def read(self, *args: int) -> bytes:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().read(*args)


def sent_slowly(body: bytes, *, meanwhile: Callable[[], Any]) -> dict[str, Any]:
    """Return what a test client takes to send a body so."""
    return {"wsgi.input": Slowly(body, meanwhile), "CONTENT_LENGTH": str(len(body))}
