"""Charts: drawn under the content policy, read by pointer, key and table, in both themes."""

import os
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.deployments.models import Deployment
from tests.e2e import stage
from tests.e2e.test_pages_in_browser import made, open_as  # noqa: F401 - fixtures
from tests.observability.example_history import put_day

pytest_plugins = ["tests.e2e.shared_browser"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

COLORS = """canvas => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const found = new Set();
    for (let at = 0; at < data.length; at += 4)
        if (data[at + 3]) found.add(data.slice(at, at + 3).join());
    return found.size;
}"""


@pytest.fixture
def measured(made: stage.Stage) -> Deployment:  # noqa: F811
    put_day(made.settled, now=timezone.now())
    return made.settled


def url(deployment: Deployment, query: str = "") -> str:
    return f"{reverse('observability:analytics', args=[deployment.ref])}{query}"


def save(page: Any, name: str) -> None:
    """Keep a picture for whoever wants to look, in the folder of PORTAL_SCREENSHOTS."""
    if folder := os.environ.get("PORTAL_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
        page.screenshot(path=f"{folder}/{name}-top.png")


def test_every_chart_is_drawn_and_the_page_holds(
    open_as: Any,  # noqa: F811
    alice: Any,
    measured: Deployment,
) -> None:
    inspector = open_as(alice)
    page = inspector.page

    inspector.visit(url(measured))
    page.set_viewport_size({"width": 1440, "height": 1500})
    page.goto(url(measured))
    page.locator("[data-charts-note]").wait_for(state="hidden")
    page.wait_for_timeout(300)

    canvases = page.locator("[data-chart] canvas")
    assert canvases.count() == page.locator("[data-chart]").count() >= 18
    assert all(canvases.nth(one).evaluate(COLORS) > 5 for one in range(canvases.count()))
    save(page, "analytics-1440-light")
    page.get_by_role("button", name="Switch between light and dark").click()
    page.wait_for_timeout(300)
    save(page, "analytics-1440-dark")
    page.set_viewport_size({"width": 320, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    save(page, "analytics-320-dark")
    assert inspector.problems == []


def test_a_chart_is_read_by_key_and_as_a_table_and_zoomed_into_by_both(
    open_as: Any,  # noqa: F811
    alice: Any,
    measured: Deployment,
) -> None:
    inspector = open_as(alice)
    page = inspector.page
    page.goto(url(measured))
    page.locator("[data-charts-note]").wait_for(state="hidden")
    panel = page.locator("[data-chart=runs]")

    plot = panel.locator("[data-plot]")
    plot.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert "Succeeded" in panel.locator("[data-readout]").inner_text()
    panel.get_by_text("Show as table").click()
    panel.locator("tbody tr").nth(200).wait_for()
    assert panel.locator("tbody tr").nth(1).locator("td").count() == 2
    plot.focus()
    for key in ("End", "Shift+ArrowLeft", "Shift+ArrowLeft", "Shift+ArrowLeft", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**from=*")
    assert parse_qs(urlsplit(page.url).query).keys() == {"from", "to"}
    page.locator("[data-charts-note]").wait_for(state="hidden")
    before = page.url
    box = page.locator("[data-chart=runs] [data-plot]").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 60, steps=4)
    page.mouse.up()
    page.wait_for_url(lambda address: "from=" in address and address != before)

    page.go_back()
    page.wait_for_url(before)
    assert inspector.problems == []


def test_points_that_do_not_come_are_said(
    open_as: Any,  # noqa: F811
    alice: Any,
    measured: Deployment,
) -> None:
    inspector = open_as(alice)
    page = inspector.page
    page.route("**/analytics/points/**", lambda route: route.fulfill(status=503, body="away"))

    page.goto(url(measured))

    page.get_by_text("The charts could not be loaded: the portal answered 503.").wait_for()
