"""Absolute addresses come from PORTAL_URL. The host of a request is what its client says it is."""

import re
from pathlib import Path

import pytest
from django.http import HttpResponseBase

from tests.architecture.permission_table import TABLE
from tests.architecture.stage import Stage
from tests.architecture.urls import Address, addresses

FORGED = {"HTTP_HOST": "localhost:6666", "HTTP_X_FORWARDED_HOST": "evil.example:6666"}
READABLE = [one for one in addresses() if one.name in TABLE and TABLE[one.name].get is not None]
OF_THE_REQUEST = re.compile(r"get_host|build_absolute_uri|get_current_site|request\.scheme|_site\b")


def text_of(response: HttpResponseBase) -> str:
    body = b"".join(response.streaming_content) if response.streaming else response.content
    return f"{dict(response.items())} {body.decode(errors='replace')}"


@pytest.mark.parametrize("address", READABLE, ids=lambda address: address.name)
def test_no_page_names_the_host_that_a_client_sends(stage: Stage, address: Address):
    path = stage.path(address.name, address.route)

    for visitor in ("organization owner", "operator", "anonymous"):
        answer = text_of(stage.visitors[visitor].get(path, **FORGED))
        assert ":6666" not in answer, visitor
        assert "evil.example" not in answer, visitor


def test_nothing_asks_a_request_for_its_host():
    files = [*Path("apps").rglob("*.py"), *Path("templates").rglob("*.*")]

    found = [
        f"{path}: {line.strip()}"
        for path in files
        if "dataplane" not in path.parts
        for line in path.read_text().splitlines()
        if OF_THE_REQUEST.search(line)
    ]

    assert found == []
