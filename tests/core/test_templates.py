import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.template import engines
from django.template.loader import get_template, render_to_string
from django.test import RequestFactory

from apps.core.styleguide.examples import ExampleForm, examples, icon_names
from apps.core.templatetags import ui
from tests.core.pages import check_page

FOLDER = Path(settings.BASE_DIR) / "templates"
TEMPLATES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.html"))
SOURCES = {name: (FOLDER / name).read_text() for name in TEMPLATES}
SHEETS = (Path(settings.BASE_DIR) / "static/css").glob("*.css")
CLASSES = {name for path in SHEETS for name in re.findall(r"\.([a-z][\w-]*)", path.read_text())}
# Posts to an Airflow, which must not learn our token; a form in a file that all visitors read.
POSTS_ELSEWHERE = {"airflow_access/hand_over.html", "status_pages/copy/index.html"}
# Programs that read mail post there unseen: the key in the address is the proof.
POSTS_FROM_MAILS = {"portal/digests/end.html"}
MOST_CHARACTERS = 160
# Parts of a layout, and parts that another component on the styleguide shows.
SHOWN_ELSEWHERE = {
    "assets",
    "account_menu",
    "find",
    "topbar",
    "palette",
    "rail",
    "messages",
    "toast",
    "limb",
    "request_id",
    "form",
    "fields",
    "field",
}


@pytest.fixture
def request_of_nobody(rf: RequestFactory) -> HttpRequest:
    request = rf.get("/styleguide/", {"sort": "name"})
    request.user = AnonymousUser()
    request.request_id = "8f2a"  # type: ignore[attr-defined]
    return request


# One test for all templates, not one each: there are hundreds, and to begin a test takes longer
# than to look at a file. Each names all files that are wrong.
def test_every_template_compiles() -> None:
    for name in TEMPLATES:
        get_template(name)


FORBIDDEN = (
    r"\sstyle\s*=",
    r"<style\b",
    r"\son[a-z]{3,}\s*=",
    r"<script\b(?![^>]*\bsrc=)",
    r"javascript:|hx-on|js:\{|data-hx-trigger=\"[^\"]*\[",
    r"(?<!data-)\bhx-(get|post|swap|trigger|target)=",
    r"(?:src|href)=\"(?:https?:)?//",
)


def test_no_template_holds_what_the_content_policy_forbids() -> None:
    found = [
        f"{name}: {pattern}"
        for name, source in SOURCES.items()
        for pattern in FORBIDDEN
        if re.search(pattern, source)
    ]

    assert found == []


def test_lines_are_short_enough_to_read_side_by_side() -> None:
    long = [
        f"{name}: line {number} has {len(line)} characters"
        for name, source in SOURCES.items()
        for number, line in enumerate(source.splitlines(), 1)
        if len(line) > MOST_CHARACTERS
    ]

    assert long == []


def test_every_form_that_posts_carries_a_token() -> None:
    found = {
        name
        for name, source in SOURCES.items()
        for form in re.findall(r"<form\b[^>]*method=\"post\".*?</form>", source, re.S)
        if "{% csrf_token %}" not in form
    }

    assert found == POSTS_ELSEWHERE | POSTS_FROM_MAILS


def test_every_drawing_a_template_names_is_in_the_sprite() -> None:
    known = {"none", *icon_names()}
    named = [
        (name, first or second)
        for name, source in SOURCES.items()
        for first, second in re.findall(r"{% icon \"([^\"]+)\"|\bicon=\"([^\"]+)\"", source)
    ]

    assert len(named) > 100
    assert [one for one in named if one[1] not in known] == []


def test_every_class_a_template_uses_is_in_the_sheet() -> None:
    used = {
        (name, one)
        for name, source in SOURCES.items()
        for value in re.findall(r"\sclass=\"([^\"]*)\"", re.sub(r"{%.*?%}|{{.*?}}", " ", source))
        for one in value.split()
    }

    assert len(used) > 100
    assert {one for one in used if one[1] not in CLASSES} == set()


def test_the_styleguide_is_a_sound_page(request_of_nobody: HttpRequest) -> None:
    check_page(render_to_string("styleguide.html", examples(), request_of_nobody))


def test_the_styleguide_shows_every_component() -> None:
    source = SOURCES["styleguide.html"]
    components = {Path(name).stem for name in TEMPLATES if name.startswith("components/")}
    shown = {
        name
        for name in components
        if f"components/{name}.html" in source
        or f"{{% {name} " in source
        or name == "error_summary"
    }
    inside_others = {"avatar", "log_lines"}

    assert components - shown - inside_others - SHOWN_ELSEWHERE == set()


def test_the_guide_names_every_component() -> None:
    guide = (FOLDER / "README.md").read_text()
    components = {Path(name).stem for name in TEMPLATES if name.startswith("components/")}

    assert {n for n in components if f"`{n}`" not in guide} - {
        "assets",
        "account_menu",
        "find",
        "topbar",
        "palette",
        "rail",
        "limb",
    } == set()


@pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "405", "500", "503"])
def test_error_pages_are_sound_and_show_the_request_id(
    code: str, request_of_nobody: HttpRequest
) -> None:
    page = render_to_string(f"{code}.html", {}, request_of_nobody)

    check_page(page)
    assert "8f2a" in page


def test_the_error_page_of_a_crash_renders_without_a_request() -> None:
    check_page(render_to_string("500.html"))


def test_a_refusal_names_the_role_and_who_can_give_it(request_of_nobody: HttpRequest) -> None:
    denial = {
        "action": "create a Deployment",
        "roles": ["Workspace Author"],
        "grantors": ["Ada", "Björn"],
    }

    page = render_to_string("403.html", {"denial": denial}, request_of_nobody)

    assert "Workspace Author" in page
    assert "Ada, Björn" in page


@pytest.mark.parametrize(
    "name",
    sorted(name for name in TEMPLATES if name.startswith("account/") and "_change" not in name),
)
def test_account_pages_are_sound(name: str, request_of_nobody: HttpRequest) -> None:
    check_page(render_to_string(name, {"form": ExampleForm()}, request_of_nobody))


def test_the_server_writes_the_chosen_theme(request_of_nobody: HttpRequest) -> None:
    request_of_nobody.COOKIES["theme"] = "dark"

    assert '<html lang="en" data-theme="dark">' in render_to_string(
        "404.html", {}, request_of_nobody
    )


def test_a_forged_theme_is_ignored(request_of_nobody: HttpRequest) -> None:
    request_of_nobody.COOKIES["theme"] = '"><script src=x>'

    assert "<script src=x>" not in render_to_string("404.html", {}, request_of_nobody)


def test_the_title_says_that_there_are_errors(request_of_nobody: HttpRequest) -> None:
    page = render_to_string("account/login.html", {"form": ExampleForm({})}, request_of_nobody)

    assert "<title>Error: Sign in · Astro Portal</title>" in page


def test_pages_keep_the_other_filters(request_of_nobody: HttpRequest) -> None:
    context = {**examples(), "page": Paginator(range(30), 10).page(2)}

    page = render_to_string("styleguide.html", context, request_of_nobody)

    assert 'href="?sort=name&amp;page=3"' in page
    assert 'aria-sort="ascending"> <a href="?sort=-name">Deployment' in " ".join(page.split())


@pytest.mark.parametrize("length", [20, 2_000])
def test_links_of_long_queries_are_not_kept(rf: RequestFactory, length: int) -> None:
    """A thousand of the longest would take as much memory as the whole process."""
    request = rf.get("/d/", {"q": "x" * length})
    page = Paginator(range(100), 10).page(5)
    source = '{% load ui %}{% sort_header "Name" "name" %}{% pagination page %}'
    drawn = {ui._drawn_sort_header, ui._drawn_pagination}
    for one in drawn:
        one.cache_clear()

    text = engines["django"].from_string(source).render({"page": page}, request)

    assert f"q={'x' * length}&amp;sort=name" in text
    assert f"q={'x' * length}&amp;page=6" in text
    assert {one.cache_info().currsize for one in drawn} == {1 if length < 200 else 0}


def test_components_escape_what_people_typed() -> None:
    hostile = "<img src=x>"
    page = "".join(
        render_to_string(f"components/{name}.html", context)
        for name, context in {
            "badge": {"tone": "bad", "label": hostile},
            "status": {"tone": "bad", "word": hostile, "message": hostile},
            "confirm": {"name": hostile, "verb": hostile, "lost": hostile, "error": hostile},
            "diff": {
                "changes": [{"label": hostile, "old": hostile, "new": hostile, "effect": hostile}]
            },
            "log": {"id": "l", "label": hostile, "lines": [{"text": hostile}]},
            "queue": {"name": hostile, "running": 1, "maximum": 2, "note": hostile},
            "person": {"name": hostile, "sub": hostile},
            "needs": {"label": hostile, "role": hostile, "grantors": [hostile]},
        }.items()
    )

    assert "<img" not in page


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("account/password_reset_done.html", {}),
        ("organizations/invitations/invitation_made.html", {"email": "ada@example.org"}),
    ],
)
def test_no_page_says_that_mail_is_sent_without_a_mail_server(
    name: str, context: dict[str, str], request_of_nobody: HttpRequest, settings: Any
) -> None:
    place = {"slug": "nordhavn", "name": "Nordhavn"}
    context = {"url": "https://portal.test/x", "back_url": "/", "place": place, **context}
    # Where mail is sent, no page has the link.
    sent = render_to_string(name, {**context, "url": ""}, request_of_nobody)
    settings.EMAIL_BACKEND = "apps.accounts.mail.PageBackend"

    kept = render_to_string(name, context, request_of_nobody)

    assert "on its way" in sent
    assert "on its way" not in kept
    assert "Outbox" in kept
