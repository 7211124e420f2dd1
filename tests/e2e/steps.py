"""What a person does, one function each: in words of the pages, by what is read on them."""

import re
import time
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

PASSWORD = "correct horse battery staple"
SECRET = "never-shown-to-anybody"
# A runtime is downloaded and installed the first time.
HEALTHY_MS = 300_000
OWN_DAG = """
from airflow.sdk import dag, task


@dag(dag_id="hello", schedule=None, catchup=False)
def hello():
    @task
    def greet():
        print("hello from a person")

    greet()


hello()
"""


def set_up(page: Page, link: str) -> None:
    """Follow the first link, and become the owner of an organization."""
    page.goto(link)
    page.get_by_label("Email address").fill("ada@example.org")
    page.get_by_label("Name", exact=True).fill("Ada Lind")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Organization", exact=True).fill("Nordhavn Logistics")
    page.get_by_label("First workspace").fill("Warehouse")
    page.get_by_role("button", name="Create organization").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def fill_new_deployment(page: Page, *, name: str) -> None:
    page.goto("/w/warehouse/deployments/new/")
    page.get_by_label("Name", exact=True).first.fill(name)
    page.get_by_label("Description").fill("Loads the orders of the day into the warehouse.")
    page.get_by_label("Min workers").fill("0")
    add_variable(page, "ORDERS_BUCKET", "s3://orders")
    add_variable(page, "WAREHOUSE_PASSWORD", SECRET, is_secret=True)


def add_variable(page: Page, key: str, value: str, *, is_secret: bool = False) -> None:
    names = page.locator("li.variable")
    before = names.count()
    page.get_by_role("button", name="Add variable").click()
    expect(names).to_have_count(before + 1)
    row = names.last
    row.get_by_label("Name of variable").fill(key)
    row.get_by_label("Value of variable").fill(value)
    if is_secret:
        row.get_by_label("Secret").check()


def review(page: Page) -> None:
    page.locator(".review-bar").get_by_role("button", name="Review").click()
    expect(page).to_have_url(re.compile(r"/drafts/"))


def confirm(page: Page, button: str) -> None:
    page.get_by_role("button", name=button).click()
    expect(page).to_have_url(re.compile(r"/operations/\d+/"))


def wait_until_done(page: Page, *, milliseconds: int = HEALTHY_MS) -> float:
    """Watch the page of an operation until it says Done; return the seconds it took."""
    began = time.monotonic()
    title = page.get_by_role("heading", level=1)
    expect(title).to_contain_text(re.compile("Done|Failed"), timeout=milliseconds)
    assert "Done" in title.inner_text(), page.locator("main").inner_text()
    return time.monotonic() - began


def open_airflow(page: Page) -> Page:
    """Press the button, and return the tab with Airflow, signed in."""
    with page.expect_popup() as popup:
        page.get_by_role("button", name="Open Airflow").first.click()
    airflow = popup.value
    airflow.wait_for_url(re.compile(r"/[a-z0-9-]+/(home|dags)?$"))
    return airflow


def run_dag(airflow: Page, base: str, dag: str) -> None:
    """Trigger a DAG as Airflow's own pages do, and wait until it succeeded."""
    made = airflow.evaluate(CALL, [f"{base}api/v2/dags/{dag}/dagRuns", {"logical_date": None}])
    assert made["status"] == 200, made
    run = made["body"]["dag_run_id"]
    deadline = time.monotonic() + 180
    while True:
        found = airflow.evaluate(CALL, [f"{base}api/v2/dags/{dag}/dagRuns/{run}", None])
        state = found["body"]["state"]
        if state in ("success", "failed") or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert state == "success", f"{dag} is {state}"


def wait_for_dag(airflow: Page, base: str, dag: str) -> None:
    """Wait until Airflow knows the DAG, and let it run."""
    deadline = time.monotonic() + 90
    while True:
        answer = airflow.evaluate(CALL, [f"{base}api/v2/dags/{dag}", None])
        if answer["status"] == 200:
            break
        assert time.monotonic() < deadline, f"Airflow does not know {dag}: {answer}"
        time.sleep(1)
    answer = airflow.evaluate(CALL, [f"{base}api/v2/dags/{dag}", {"is_paused": False}, "PATCH"])
    assert answer["status"] == 200, answer


def wait_for_charts(page: Page, ref: str) -> None:
    """Wait until the charts of a Deployment show that DAG runs ended, and memory of a component."""
    deadline = time.monotonic() + 180
    runs = page.locator("[data-chart=runs] [data-figure]")
    memory = page.locator("[data-chart=memory-scheduler] canvas")
    while True:
        page.goto(f"/d/{ref}/analytics/?range=1h&live=off")
        if runs.count() and runs.inner_text() != "0" and page.locator("[data-charts]").count():
            memory.wait_for()
            return
        assert time.monotonic() < deadline, page.locator("main").inner_text()
        time.sleep(5)


def deliver(page: Page, ref: str, folder: Path, code: str = OWN_DAG) -> None:
    file = folder / "hello.py"
    file.write_text(code)
    upload(page, ref, file)
    if "/previews/" in page.url:
        see_preview(page).click()
    expect(page).to_have_url(re.compile(r"/operations/\d+/"))


def upload(page: Page, ref: str, file: Path) -> None:
    page.goto(f"/d/{ref}/deploys/")
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Deploy code", exact=True).click()
    expect(page).to_have_url(re.compile(r"/(operations|previews)/\d+/"))


def see_preview(page: Page) -> Locator:
    """Wait until a preview is there; return the button that deploys it."""
    button = page.get_by_role("button", name=re.compile("^Deploy to "))
    button.wait_for(timeout=180_000)
    return button


def invite(page: Page, *, email: str, role: str) -> str:
    """Invite a person to the workspace, and return the link that is shown once."""
    page.goto("/w/warehouse/members/add/")
    page.get_by_label("Email address").fill(email)
    page.get_by_label(role).check()
    page.get_by_role("button", name="Add member").click()
    return page.get_by_text(re.compile(r"https?://\S+/invitations/\S+")).first.inner_text().strip()


def accept(page: Page, link: str, *, name: str) -> None:
    page.goto(link)
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account and join").click()
    expect(page).not_to_have_url(re.compile("/invitations/"))


def delete(page: Page, ref: str, *, name: str) -> None:
    page.goto(f"/d/{ref}/delete/")
    page.get_by_role("textbox").last.fill(name)
    page.get_by_role("button", name=f"Delete {name}").click()
    expect(page).to_have_url(re.compile(r"/operations/\d+/"))


CALL = """async ([url, body, method]) => {
  const headers = {"Content-Type": "application/json"};
  const options = body ? {method: method || "POST", headers, body: JSON.stringify(body)} : {};
  const answer = await fetch(url, options);
  return {status: answer.status, body: await answer.json()};
}"""
