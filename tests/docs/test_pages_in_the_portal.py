"""The documentation as the portal shows it: whole, safe under the content policy, with links that
lead somewhere.
"""

import re
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.template import engines
from django.test import Client, RequestFactory
from django.urls import resolve, reverse

from apps.portal.documentation import contents, page, sources
from tests.core.pages import check_page

PROJECT = Path(settings.BASE_DIR)
NAMES = list(sources())
HELP = re.compile(r"{% docs_url(?: \"([^\"]*)\")?")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.images: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert not {"style", "onclick"} & given.keys(), given
        assert tag not in ("script", "style", "iframe"), tag
        if given.get("id"):
            self.anchors.add(given["id"] or "")
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag == "img":
            self.images.append(given.get("src") or "")


@cache
def read(name: str) -> _Reader:
    found = page(name)
    assert found is not None, f"There is no page {name!r}."
    reader = _Reader()
    reader.feed(found.body)
    return reader


def check_address(address: str) -> None:
    path, _, anchor = address.partition("#")
    match = resolve(path)
    name = match.kwargs.get("page_name", "")
    assert match.view_name in ("portal:docs", "portal:documentation"), address
    assert not anchor or anchor in read(name).anchors, f"{address}: no such heading"


def test_every_file_is_in_the_navigation() -> None:
    files = {path.relative_to(PROJECT / "docs") for path in (PROJECT / "docs").rglob("*.md")}

    assert {Path(path) for path in sources().values()} == files
    assert {name for group in contents() for name, _ in group.pages} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_links_of_a_page_lead_somewhere(name: str) -> None:
    reader = read(name)

    for link in reader.links:
        if link.startswith("#"):
            assert link[1:] in reader.anchors, link
        elif not link.startswith("https://"):
            check_address(link)
    for image in reader.images:
        assert finders.find(re.sub(r"^/static/", "", image)), image


@pytest.mark.parametrize("name", ["", "operating", "troubleshoot", "adr"])
def test_a_page_is_sound_and_open_to_all(db: None, client: Client, name: str) -> None:
    answer = client.get(
        reverse("portal:documentation", args=[name]) if name else reverse("portal:docs")
    )

    text = answer.content.decode()
    check_page(text)
    assert settings.VERSION in text
    assert "no-store" not in answer.get("Cache-Control", "")


def test_the_first_reader_of_a_process_gets_a_page(
    db: None, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "apps.portal.documentation")
    monkeypatch.delattr("apps.portal.documentation")

    assert client.get("/docs/roles/").status_code == 200


@pytest.mark.parametrize("name", ["nothing", "../README", "images/deployment", "a\x00b"])
def test_what_is_no_page_is_not_found(db: None, client: Client, name: str) -> None:
    assert client.get(f"/docs/{name}/").status_code in (400, 404)


def test_the_drawing_is_a_static_file() -> None:
    assert any(image.endswith("docs/overview.svg") for image in read("").images)


def render(source: str) -> str:
    return engines["django"].from_string(source).render({}, RequestFactory().get("/"))


def test_help_leads_to_the_pages_of_the_portal_or_to_a_site(settings: Any) -> None:
    assert render('{% docs_url "clusters" %}') == "/docs/clusters/"
    assert render("{% docs_url %}") == reverse("portal:docs")

    settings.DOCS_URL = "https://docs.example.org/portal/"

    assert render('{% docs_url "clusters#details" %}') == (
        "https://docs.example.org/portal/clusters/#details"
    )


def test_every_help_link_of_a_template_names_a_page_and_a_heading() -> None:
    templates = [*(PROJECT / "templates").rglob("*.html"), *(PROJECT / "templates").rglob("*.txt")]
    named = [found for path in templates for found in HELP.findall(path.read_text())]

    assert named
    for one in named:
        check_address(render(f'{{% docs_url "{one}" %}}'))
