from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment, Draft, Operation, SecretValue
from apps.organizations.models import Workspace
from tests.deployments.conftest import CONFIGURATION
from tests.deployments.pages import assert_well_made, fill, form_data, text_of

NEW = "/w/warehouse/deployments/new/"
ClientOf = Callable[[User], Client]


@pytest.fixture
def browser(alice: User, cluster: Cluster, workspace: Workspace, client_of: ClientOf) -> Client:
    return client_of(alice)


def test_alice_creates_a_deployment_by_the_form_and_the_review(browser: Client) -> None:
    response = fill(browser, NEW, name="etl-prod", description="Loads the warehouse")

    assert response.status_code == 302
    review = browser.get(response["Location"])
    assert_well_made(review)
    assert "Create etl-prod" in text_of(review)

    confirmed = browser.post(response["Location"], {"reason": "Go live"})

    deployment = Deployment.objects.get()
    assert confirmed["Location"] == f"/d/{deployment.ref}/operations/1/"
    assert deployment.description == "Loads the warehouse"
    assert deployment.wanted
    assert deployment.wanted.reason == "Go live"
    assert browser.get(confirmed["Location"]).status_code == 200


def test_a_second_confirm_finds_the_operation_of_the_first(browser: Client) -> None:
    url = fill(browser, NEW, name="etl-prod")["Location"]

    first = browser.post(url, {})
    second = browser.post(url, {})

    assert first["Location"] == second["Location"]
    assert Operation.objects.count() == 1


def test_bob_is_told_which_role_creates(
    bob: User, alice: User, cluster: Cluster, client_of: ClientOf
) -> None:
    response = client_of(bob).get(NEW)

    assert response.status_code == 403
    assert "Workspace Operator" in text_of(response)
    assert "Alice" in text_of(response)


def test_charlie_does_not_learn_that_the_workspace_exists(
    charlie: User, cluster: Cluster, workspace: Workspace, client_of: ClientOf
) -> None:
    assert client_of(charlie).get(NEW).status_code == 404


def test_bob_may_not_configure(bob: User, deployment: Deployment, client_of: ClientOf) -> None:
    assert client_of(bob).get(f"/d/{deployment.ref}/configure/").status_code == 403


def test_charlie_finds_no_deployment_to_configure(
    charlie: User, deployment: Deployment, client_of: ClientOf
) -> None:
    assert client_of(charlie).get(f"/d/{deployment.ref}/configure/").status_code == 404


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "Enter a name for the Deployment."),
        ({"runtime": "9.9.9"}, "Choose a runtime from the list."),
        ({"executor": "magic"}, "Choose an executor that the cluster offers."),
        ({"queues__0__max_workers": "many"}, "must be a whole number."),
        ({"queues__0__max_workers": "0"}, "Max workers must be between 1 and 10"),
        ({"queues__0__min_workers": "5"}, "less than min workers (5)"),
        ({"queues__0__concurrency": "6500"}, "Tasks per worker must be between 1 and 64"),
        ({"queues__0__name": "Heavy Load"}, "lowercase letters"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_lost(
    browser: Client, changes: dict[str, str], message: str
) -> None:
    response = fill(browser, NEW, **{"name": "etl", "description": "Kept", **changes})

    assert response.status_code == 422
    text = text_of(response)
    assert "There is a problem" in text or "problems" in text
    assert text.count(message) >= 2
    assert form_data(response)["description"] == "Kept"
    assert "aria-invalid" in response.content.decode() or "executor" in changes
    assert not Draft.objects.exists()


def test_all_problems_are_said_at_once_one_sentence_a_field_with_the_row_they_are_in(
    browser: Client,
) -> None:
    data = form_data(browser.get(NEW))
    for button in ("add queues", "add variables", "add variables"):
        data = form_data(browser.post(NEW, data | {"row": button}))
    data |= {"name": "", "queues-0-max_workers": "99", "queues-1-name": "Heavy Load"}
    data |= {"queues-1-min_workers": "", "queues-1-concurrency": "x"}
    data |= {"variables-0-key": "9", "variables-1-key": "", "variables-1-value": "v"}

    page = browser.post(NEW, data)

    summary = page.content.decode().partition('class="error-summary"')[2].partition("</section>")[0]
    said = [text.partition("</a>")[0] for text in summary.split('">')[1:] if "</a>" in text]
    assert said == [
        "Enter a name for the Deployment.",
        "Queue default: Max workers must be between 1 and 10, not 99.",
        "Queue Heavy Load: Use lowercase letters, digits and hyphens; start with a letter and do "
        "not end with a hyphen: heavy-load.",
        "Queue Heavy Load: Tasks per worker must be a whole number.",
        "Queue Heavy Load: Enter a number for min workers.",
        "Variable 9: Use only letters, digits and underscores; do not start with a digit.",
        "Variable 2: Enter a name for the variable.",
    ]
    assert "There are 7 problems" in summary


def test_a_name_that_is_taken_is_refused_at_the_form(
    browser: Client, deployment: Deployment
) -> None:
    response = fill(browser, NEW, name="ETL-prod")

    assert response.status_code == 422
    assert "already has a Deployment called ETL-prod" in text_of(response)


def test_rows_come_and_go_without_script(browser: Client) -> None:
    added = fill(browser, NEW, name="etl", row="add queues")

    assert added.status_code == 200
    data = form_data(added)
    assert data["queues-TOTAL_FORMS"] == "2"
    assert data["name"] == "etl"

    data |= {"queues-1-name": "heavy", "row": "remove queues-1"}
    removed = browser.post(NEW, data)
    assert_well_made(removed)
    assert "Undo remove" in text_of(removed)

    restored = browser.post(NEW, form_data(removed) | {"row": "restore queues-1"})
    assert form_data(restored)["queues-1-name"] == "heavy"
    assert not Draft.objects.exists()


def test_a_removed_row_is_not_judged(browser: Client) -> None:
    data = form_data(fill(browser, NEW, name="etl", row="add queues"))
    data |= {"queues-1-name": "NOT GOOD", "queues-1-gone": "on"}

    assert browser.post(NEW, data).status_code == 302


def test_the_default_queue_must_stay(browser: Client) -> None:
    response = fill(browser, NEW, name="etl", queues__0__gone="on")

    assert response.status_code == 422
    assert "“default” is required" in text_of(response)


def test_the_local_executor_needs_no_queues(browser: Client) -> None:
    response = fill(browser, NEW, name="etl", executor="local", queues__0__max_workers="nonsense")

    assert response.status_code == 302
    assert Draft.objects.get().config["queues"] == []


def test_from_local_to_celery_the_default_queue_is_there_already(
    browser: Client, make_deployment: Callable[..., Deployment]
) -> None:
    deployment = make_deployment(config={"executor": "local", "queues": []})

    fill(browser, f"/d/{deployment.ref}/configure/", executor="celery")

    assert [queue["name"] for queue in Draft.objects.get().config["queues"]] == ["default"]


def add_variable(browser: Client, url: str, **fields: str) -> dict[str, str]:
    data = form_data(fill(browser, url, row="add variables"))
    row = int(data["variables-TOTAL_FORMS"]) - 1
    return data | {f"variables-{row}-{name}": value for name, value in fields.items()}


def test_a_secret_is_sealed_at_once_and_never_on_a_page(browser: Client) -> None:
    data = add_variable(browser, NEW, key="TOKEN-1", value="hunter2hunter2", is_secret="on")

    refused = browser.post(NEW, data | {"name": "etl"})

    assert refused.status_code == 422
    assert "TOKEN_1" in text_of(refused)
    assert "hunter2" not in refused.content.decode()
    assert "New secret" in text_of(refused)

    accepted = browser.post(NEW, form_data(refused) | {"variables-0-key": "TOKEN_1"})

    review = browser.get(accepted["Location"])
    assert "new secret" in text_of(review)
    assert "hunter2" not in review.content.decode()
    draft = Draft.objects.get()
    assert draft.config["variables"][0]["secret_id"] == str(SecretValue.objects.get().pk)
    assert "hunter2" not in str(draft.config)


def test_a_value_of_many_lines_survives(browser: Client) -> None:
    data = add_variable(browser, NEW, key="CERT", value="line 1\r\nline 2\r\n")

    browser.post(NEW, data | {"name": "etl"})

    assert Draft.objects.get().config["variables"][0]["value"] == "line 1\nline 2\n"


def test_an_oversized_secret_is_refused_and_not_shown(browser: Client) -> None:
    data = add_variable(browser, NEW, key="BIG", value="hunter2" * 10_000, is_secret="on")

    response = browser.post(NEW, data | {"name": "etl"})

    assert response.status_code == 422
    assert "at most 32 KiB" in text_of(response)
    assert "hunter2" not in response.content.decode()
    assert not SecretValue.objects.exists()


def test_somebody_elses_secret_cannot_be_named(
    browser: Client, workspace: Workspace, bob: User
) -> None:
    theirs = SecretValue.objects.create(workspace=workspace, sealed=b"x", created_by=bob)
    data = add_variable(browser, NEW, key="TOKEN", secret_id=str(theirs.pk), is_secret="on")

    browser.post(NEW, data | {"name": "etl"})

    assert str(theirs.pk) not in str(Draft.objects.get().config)


@pytest.mark.parametrize("is_secret", ["", "on"])
@pytest.mark.parametrize(
    "key",
    [
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__SECRETS__BACKEND_KWARGS_CMD",
        "LD_PRELOAD",
        "1ABC",
        "PATH",
        "A B",
    ],
)
def test_variable_names_are_judged(browser: Client, key: str, is_secret: str) -> None:
    data = add_variable(browser, NEW, key=key, value="x", is_secret=is_secret)

    response = browser.post(NEW, data | {"name": "etl"})

    assert response.status_code == 422


def test_empty_variable_rows_are_no_problem(browser: Client) -> None:
    data = add_variable(browser, NEW)

    assert browser.post(NEW, data | {"name": "etl"}).status_code == 302


@pytest.mark.parametrize(
    "nonsense",
    [
        {"queues-TOTAL_FORMS": "x"},
        {"queues-TOTAL_FORMS": "99999999"},
        {"variables-TOTAL_FORMS": "-1"},
        {"row": "remove"},
        {"row": "burn queues-0"},
        {"row": "remove queues-77"},
        {"base": "1" * 30},
        {"queues-0-max_workers": "9" * 5000},
        {"description": "\x00"},
        {"name": "a\x00b"},
        {"queues-0-name": "x\x00"},
    ],
)
def test_tampered_forms_do_not_break_the_page(browser: Client, nonsense: dict[str, str]) -> None:
    data = form_data(browser.get(NEW)) | {"name": "etl"} | nonsense

    assert browser.post(NEW, data).status_code in (200, 302, 422)


def test_a_change_is_reviewed_with_its_effect(browser: Client, deployment: Deployment) -> None:
    response = fill(
        browser,
        f"/d/{deployment.ref}/configure/",
        queues__0__max_workers="7",
        queues__0__size="local",
    )

    review = text_of(browser.get(response["Location"]))
    assert "default, max workers" in review
    assert "Nothing restarts" in review
    assert "Apply revision 2" in review


def test_a_review_promises_a_way_back_only_where_there_is_one(
    browser: Client, create: Callable[..., Operation]
) -> None:
    older = create("older", configuration=replace(CONFIGURATION, runtime="3.2.2-1")).deployment
    url = f"/d/{older.ref}/configure/"

    edit = fill(browser, url, description="x", queues__0__size="local")
    upgrade = fill(browser, url, runtime="3.3.2-1", queues__0__size="local")

    assert "restore revision 1 at any time" in text_of(browser.get(edit["Location"]))
    told = text_of(browser.get(upgrade["Location"]))
    assert "restore revision 1 only until the migration begins" in told
    assert "at any time" not in told


def test_a_draft_belongs_to_who_typed_it(
    browser: Client, workspace: Workspace, client_of: ClientOf, organization: Any
) -> None:
    url = fill(browser, NEW, name="etl")["Location"]
    other = User.objects.create_user("dora@example.org", "x", name="Dora")

    assert client_of(other).get(url).status_code == 404


def test_an_unfinished_draft_is_offered_again(browser: Client) -> None:
    url = fill(browser, NEW, name="etl")["Location"]

    page = browser.get(NEW)
    assert "You have an unfinished draft" in text_of(page)

    browser.post(f"{url}discard/")
    assert "unfinished draft" not in text_of(browser.get(NEW))
