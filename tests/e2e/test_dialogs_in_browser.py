"""Forms in dialogs and boxes that need each other, in a real browser, with script and without."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.dags.models import DagSummary
from tests.e2e.browser import Inspector, new_context

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
ACCESS = "/d/etl-prod-7f3c/access/"
IS_MODAL = "dialog => dialog.matches(':modal')"


@pytest.fixture
def open_page(
    browser: Any, live_server: Any, client_of: Any, alice: Any, deployment: Any
) -> Iterator[Callable[..., Page]]:
    contexts = []

    def start(**options: Any) -> Page:
        context = new_context(browser, base_url=live_server.url, **options)
        contexts.append(context)
        session = client_of(alice).cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        return context.new_page()

    yield start
    for context in contexts:
        context.close()


def test_a_form_with_an_error_comes_back_in_its_dialog(open_page: Callable[..., Page]) -> None:
    page = open_page()
    inspector = Inspector(page)
    page.goto(ACCESS)
    dialog = page.locator("dialog#assign")
    expect(dialog).to_be_hidden()

    page.get_by_role("link", name="Assign role", exact=True).click()
    expect(dialog.get_by_label("Email address")).to_be_focused()
    dialog.get_by_label("Email address").fill("guest@example.org")
    inspector.look()
    dialog.get_by_role("button", name="Assign role").click()

    expect(dialog.locator(".error-summary")).to_be_focused()
    assert dialog.evaluate(IS_MODAL)
    expect(dialog.get_by_label("Email address")).to_have_value("guest@example.org")
    inspector.look()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert inspector.problems == []


def test_without_script_the_form_is_part_of_the_page(open_page: Callable[..., Page]) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(ACCESS)

    page.get_by_role("link", name="Assign role", exact=True).click()
    field = page.locator("dialog#assign").get_by_label("Email address")
    field.fill("guest@example.org")
    page.locator("dialog#assign").get_by_role("button", name="Assign role").click()

    expect(page.locator("dialog#assign .error-summary")).to_be_visible()
    expect(field).to_have_value("guest@example.org")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_a_permission_brings_what_it_needs(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.goto("/o/nordhavn/roles/new/workspace/")

    page.get_by_label("Trigger, pause and clear DAGs in Airflow").check()

    expect(page.get_by_label("View Airflow")).to_be_checked()
    expect(page.get_by_label("View the Deployment, its health")).to_be_checked()
    expect(page.get_by_label("Administer Airflow")).not_to_be_checked()


def test_what_a_rule_matches_follows_what_is_written(
    open_page: Callable[..., Page], deployment: Any
) -> None:
    DagSummary.objects.bulk_create(
        DagSummary(deployment=deployment, dag_id=name, is_paused=False, has_import_error=False)
        for name in ("orders", "reports_daily", "reports_" + "of_all_the_regions_" * 10)
    )
    page = open_page()
    inspector = Inspector(page)
    page.goto("/w/warehouse/alerts/rules/new/dag-failed/")
    matches = page.locator("#matches")
    expect(matches).to_contain_text("Matches 3 DAGs of 3")

    page.locator("[name=dags]").press_sequentially("reports_*")

    expect(matches).to_contain_text("Matches 2 DAGs of 3")
    expect(matches.get_by_role("listitem").first).to_have_text("reports_daily")
    inspector.look()
    page.locator("[name=deployments]").fill("elsewhere")
    expect(matches).to_contain_text("Matches no Deployment")
    expect(page.locator("[name=dags]")).to_have_value("reports_*")
    assert inspector.problems == []
