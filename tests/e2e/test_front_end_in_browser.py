"""The front end in Chromium under the real content policy."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.core.styleguide_urls import Stage

RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"],
    }
}
TO_END = "(l => l.scrollHeight - l.scrollTop - l.clientHeight)(document.getElementById('log'))"

pytest_plugins = ["tests.e2e.shared_browser"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.urls("tests.core.styleguide_urls"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    # Not live_server: these pages need no database, and emptying one after each test takes seconds.
    server = LiveServer("127.0.0.1")
    yield server.url
    server.stop()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def page(browser: Browser, said: list[str], server: str) -> Iterator[Page]:
    Stage.status = 200
    context = browser.new_context(base_url=server)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()


@pytest.mark.parametrize("address", ["/styleguide/", "/accounts/login/"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 800, 320])
def test_pages_are_accessible_and_fit(
    page: Page, said: list[str], address: str, theme: Any, width: int
) -> None:
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 900})

    page.goto(address)

    violations = Axe().run(page, options=RULES).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # "[DOM]" is advice on password fields, given on any page that has one.
    assert [one for one in said if not one.startswith("[DOM]")] == []


def test_the_theme_is_remembered_by_the_server(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    page.goto("/styleguide/")

    page.click("[data-action=theme]")
    page.goto("/accounts/login/")

    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_the_error_summary_takes_focus_and_leads_to_the_field(page: Page) -> None:
    page.goto("/styleguide/")

    assert page.evaluate("document.activeElement.className") == "error-summary"
    page.click(".error-summary a >> nth=0")
    assert page.evaluate("document.activeElement.id") == "wrong_name"


def test_a_command_is_copied_and_said(page: Page) -> None:
    page.goto("/styleguide/")

    page.click(".command [data-action=copy]")

    expect(page.locator("#live")).to_have_text("Copied")
    assert str(page.evaluate("navigator.clipboard.readText()")).startswith("astro-portal deploy")


def test_the_name_must_be_typed_before_the_button_looks_ready(page: Page) -> None:
    page.goto("/styleguide/")
    button = page.locator("dialog [type=submit]")

    page.click("[data-dialog]")
    before = button.get_attribute("aria-disabled")
    page.fill("[data-confirm]", "etl-prod")

    assert (before, button.get_attribute("aria-disabled")) == ("true", "false")


def test_unsaved_changes_are_guarded_and_sending_them_is_not(page: Page) -> None:
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.goto("/styleguide/")
    page.click("#fresh_name")
    page.keyboard.type("half done")

    page.goto("/accounts/login/")
    page.goto("/styleguide/")
    page.click("#fresh_name")
    page.keyboard.type("done")
    page.click("text=Create backfill")
    page.wait_for_url("**/styleguide/?*")

    assert asked == ["beforeunload"]


def test_a_menu_closes_by_escape_and_by_a_click_elsewhere(page: Page) -> None:
    page.goto("/styleguide/")
    menus = page.locator("details[data-menu][open]")

    page.click("summary:has-text('Actions')")
    assert menus.count() == 1
    page.keyboard.press("Escape")
    assert menus.count() == 0
    page.click("summary:has-text('Actions')")
    page.click("h1")
    assert menus.count() == 0


def test_a_live_card_keeps_what_is_being_typed(page: Page) -> None:
    page.goto("/live/")
    count = page.inner_text("#count")

    page.fill("#typed", "keep me")
    expect(page.locator("#count")).not_to_have_text(count)

    assert page.input_value("#typed") == "keep me"
    assert page.evaluate("document.activeElement.id") == "typed"


def test_a_live_card_keeps_open_what_was_unfolded(page: Page) -> None:
    page.goto("/live/")
    page.click("#folded summary")
    count = page.inner_text("#count")

    expect(page.locator("#count")).not_to_have_text(count)

    expect(page.locator("#folded p")).to_be_visible()


def test_a_card_whose_answers_fail_keeps_its_content_and_says_it_is_stale(page: Page) -> None:
    page.goto("/live/")

    Stage.status = 503
    page.wait_for_selector(".live[data-state=stale]")
    assert page.locator("#count").count() == 1

    Stage.status = 200
    page.wait_for_selector(".live:not([data-state])")
    assert page.inner_text(".live").startswith("as of")


def test_a_card_that_is_gone_stops_asking(page: Page) -> None:
    page.goto("/live/")
    Stage.status = 404
    page.wait_for_selector(".live[data-state=stale]")
    before = Stage.answers

    page.wait_for_timeout(1000)

    assert Stage.answers == before


def test_a_log_follows_its_end_until_the_reader_scrolls_up(page: Page) -> None:
    page.goto("/live/")
    page.wait_for_selector("#log >> text=new line")
    assert page.evaluate(TO_END) < 24

    page.evaluate("document.getElementById('log').scrollTop = 0")
    lines = page.locator("#log li").count()
    expect(page.locator("#log li")).not_to_have_count(lines)

    assert page.evaluate("document.getElementById('log').scrollTop") == 0


def test_a_file_can_be_dropped(page: Page) -> None:
    page.goto("/styleguide/")

    page.evaluate("""() => {
      const data = new DataTransfer();
      data.items.add(new File(["x"], "dags.zip"));
      const drop = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
      document.querySelector("[data-drop]").dispatchEvent(drop);
    }""")

    assert page.inner_text("[data-drop-name]") == "dags.zip"


def test_long_choices_are_narrowed_and_what_is_chosen_stays(page: Page) -> None:
    page.goto("/choices/")
    field, select = page.get_by_label("Filter Deployment"), page.get_by_label("Deployment").last

    select.select_option("7")
    field.fill("ETL-98")
    assert select.locator("option").all_text_contents() == ["All", "etl-7", "etl-98"]
    expect(select).to_have_value("7")
    field.fill("")
    expect(select.locator("option")).to_have_count(100)

    boxes = page.get_by_role("checkbox")
    expect(boxes.first).to_be_checked()  # what was chosen comes first
    page.get_by_label("Filter Channels").fill("team-41")
    expect(boxes).to_have_count(2)
    boxes.last.check()
    page.get_by_label("Filter Channels").fill("")
    expect(boxes).to_have_count(99)
    sent = page.evaluate(
        "[...document.querySelectorAll('[name=channels]:checked')].map(o => o.value)"
    )
    assert sorted(sent) == ["41", "98"]
    found = Axe().run(page, options=RULES)
    assert not found.response["violations"]


def test_without_script_nothing_that_needs_it_is_shown(browser: Browser, server: str) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=server)
    page = context.new_page()

    page.goto("/styleguide/")

    assert not page.is_visible("[data-action=theme]")
    assert not page.is_visible(".command [data-action=copy]")
    assert page.is_visible("text=Create backfill")
    context.close()
