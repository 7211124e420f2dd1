"""From the click that confirms a Deployment until its page says that Airflow is healthy.

The first Deployment installs the runtime and is shown without a goal; the second is the measure.
"""

from playwright.sync_api import Page, sync_playwright

from bench.report import Line
from tests.e2e import steps
from tests.e2e.browser import LEFT_OUT, chromium_path, launch, new_context
from tests.e2e.portal import running_portal

MOST_SECONDS = 10
BESIDE = "Amazon MWAA documents 20 to 30 min"


def run() -> tuple[list[Line], list[str]]:
    if not chromium_path():
        return [], [LEFT_OUT]
    with running_portal() as portal, sync_playwright() as playwright:
        browser = launch(playwright)
        page = new_context(browser, base_url=portal.url).new_page()
        steps.set_up(page, portal.sign_in_link)
        first = _create(page, "first")
        second = _create(page, "second")
        browser.close()
    return [
        Line(name="click-to-healthy, with installation", ours=f"{first:.1f} s"),
        Line(
            name="click-to-healthy",
            ours=f"{second:.1f} s",
            peer=BESIDE,
            ratio=second / (20 * 60),
            goal=f"<= {MOST_SECONDS} s",
            is_met=second <= MOST_SECONDS,
        ),
    ], []


def _create(page: Page, name: str) -> float:
    steps.fill_new_deployment(page, name=name)
    steps.review(page)
    steps.confirm(page, f"Create {name}")
    return steps.wait_until_done(page)
