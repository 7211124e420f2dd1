"""What a rule matches is counted while it is written: on the page and by the API alike."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.alerts.evaluation import matched
from apps.alerts.evaluation.matched import Matched, matched_by, matched_by_each
from apps.alerts.pages.words import matched_in_words, matches_in_words
from apps.alerts.places import fields_of
from apps.alerts.rules.models import Rule
from apps.dags.models import DagSummary
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace
from tests.alerts.examples import make_channel
from tests.core.pages import check_page

pytestmark = pytest.mark.django_db
NEW = "/w/warehouse/alerts/rules/new/"
NAMES = ("reports_a", "reports_b", "reports_c", "sales")


@pytest.fixture
def client(alice: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(alice)


@pytest.fixture
def two(make_deployment: Callable[..., Deployment]) -> list[Deployment]:
    made = [make_deployment(name=name) for name in ("etl-prod", "etl-dev")]
    for one in made:
        give_dags(one, *NAMES)
    DagSummary.objects.filter(dag_id="reports_c").update(is_paused=True, tags=["tier-1"])
    return made


def give_dags(deployment: Deployment, *names: str) -> None:
    DagSummary.objects.bulk_create(
        DagSummary(deployment=deployment, dag_id=name, is_paused=False, has_import_error=False)
        for name in names
    )


def said(response: Any) -> str:
    text = response.content.decode()
    return " ".join(text.replace("<b>", "").replace("</b>", "").split())


def count(client: Client, kind: str = "dag-failed", at: str = NEW, **fields: Any) -> str:
    """Ask as the page does while it is filled in: much of it is empty or wrong."""
    headers = {"HX-Request": "true"}
    response = client.post(f"{at}{kind}/", {**fields, "matches": "1"}, headers=headers)
    assert response.status_code == 200
    assert b"<html" not in response.content
    return said(response)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Matches 8 DAGs of 8 in 2 Deployments"),
        ({"dags": "reports_*"}, "Matches 6 DAGs of 8 in 2 Deployments"),
        ({"dags": "reports_*", "without_dags": "*_a"}, "Matches 4 DAGs of 8 in 2 Deployments"),
        ({"dags": "reports_*", "deployments": "*-prod"}, "Matches 3 DAGs of 4 in 1 Deployment"),
        ({"tags": "tier-*"}, "Matches 2 DAGs of 8 in 2 Deployments"),
        ({"dags": "sales, nothing"}, "Matches 2 DAGs of 8"),
        ({"dags": "report"}, "Matches no DAG of 8 in 2 Deployments. New ones"),
        ({"deployments": "elsewhere"}, "Matches no Deployment that you may see."),
    ],
)
def test_the_count_follows_what_is_written(
    client: Client, two: list[Deployment], fields: dict[str, str], words: str
):
    assert words in count(client, **fields)
    assert not Rule.objects.exists()


def test_the_first_names_are_told_and_how_many_more(client: Client, two: list[Deployment]):
    give_dags(two[0], *(f"z_{number}" for number in range(9)))

    text = count(client, deployment=two[0].pk)

    assert "Matches 13 DAGs of 13 in etl-prod" in text
    assert "<li>reports_a</li><li>reports_b</li>" in text
    assert "and 7 more" in text
    assert "1 of them is paused." in text
    assert "a paused DAG misses no deadline" in count(client, "dag-late")


def test_a_rule_about_incidents_counts_deployments(client: Client, two: list[Deployment]):
    text = count(client, "incident", deployments="etl-*")

    assert "Matches 2 Deployments" in text
    assert "<li>etl-dev</li>" in text


def test_without_script_the_preview_counts_and_a_page_that_is_opened_does(
    client: Client, two: list[Deployment], workspace: Workspace, alice: User
):
    channel = make_channel(workspace, alice)
    told = {
        "name": "Reports",
        "dags": "reports_*",
        "severity": "30",
        "grouping": "deployment",
        "repeat_minutes": "0",
        "escalate_minutes": "0",
        "channels": [channel.pk],
    }

    preview = client.post(f"{NEW}dag-failed/", {**told, "preview": "1"})
    opened = client.get(f"{NEW}dag-failed/")
    unfinished = client.post(f"{NEW}dag-failed/", {**told, "channels": [], "preview": "1"})

    assert "Matches 6 DAGs of 8" in said(preview)
    assert "Matches 8 DAGs of 8" in said(opened)
    assert "Matches 6 DAGs of 8" in said(unfinished)
    for response in (preview, opened, unfinished):
        check_page(response.content.decode())


def test_too_many_patterns_are_said_and_hostile_ones_are_text(
    client: Client, two: list[Deployment]
):
    assert "Enter at most 50 names." in count(client, dags=",".join("x" * 99))
    give_dags(two[0], "<script>alert(1)</script>")
    text = count(client, dags="<script*")
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "Matches no DAG" in count(client, dags="*a" * 249, without_dags="%_\\'; --")


def test_the_work_has_a_bound_and_says_so(
    client: Client, two: list[Deployment], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(matched, "MOST_DAGS", 3)

    text = count(client)

    assert "Matches 3 DAGs of the first" in text


def test_it_costs_as_many_queries_for_one_deployment_as_for_many(
    make_deployment: Callable[..., Deployment], workspace: Workspace
):
    def cost() -> int:
        give_dags(make_deployment(), "orders")
        rule = Rule(**fields_of(workspace), kind="dag-failed")
        with CaptureQueriesContext(connection) as queries:
            matched_by(rule, seen=Deployment.objects.all())
        return len(queries)

    assert [cost(), cost(), cost()] == [2, 2, 2]


def test_what_a_person_may_not_see_is_neither_counted_nor_named(
    client: Client,
    client_of: Callable[[User], Client],
    bob: User,
    two: list[Deployment],
    workspace: Workspace,
    organization: Organization,
    monkeypatch: pytest.MonkeyPatch,
):
    other = Workspace.objects.create(organization=organization, name="Other", slug="other-4")
    Deployment.objects.filter(pk=two[1].pk).update(workspace=other)

    assert "Matches 4 DAGs of 4 in 1 Deployment" in count(client)
    assert client_of(bob).post(f"{NEW}dag-failed/", {"matches": "1"}).status_code == 403
    monkeypatch.setattr("apps.alerts.pages.queries.SEE", "deployment.delete")
    monkeypatch.setattr(
        "apps.alerts.pages.rules.deployments_to_choose",
        lambda **_: Deployment.objects.filter(pk=two[1].pk),
    )
    preview = client.post(f"{NEW}dag-failed/", {"preview": "1", "dags": "*"})
    assert "Matches no Deployment that you may see." in said(preview)
    assert b"reports_" not in preview.content


def test_the_words_for_an_airflow_that_listed_nothing(workspace: Workspace):
    rule = Rule(**fields_of(workspace), kind="dag-failed")

    tone, bold, rest = matched_in_words(Matched(deployments=2), rule)

    assert (tone, bold) == ("move", "No DAG is known yet")
    assert rest.startswith("in 2 Deployments")


def test_a_list_of_rules_says_what_each_matches_now(
    client: Client, two: list[Deployment], workspace: Workspace, organization: Organization
):
    far = Workspace.objects.create(organization=organization, name="Other", slug="other-5")
    here = fields_of(workspace)
    for name, fields in (
        ("All", {}),
        ("Reports", {"dags": "reports_*"}),
        ("One", {"deployment": two[0], "dags": "sales"}),
        ("Soon", {"dags": "soon_*"}),
        ("Gone", {"dags": "gone"}),
        ("Told", {"kind": "incident", "deployments": "*-prod"}),
    ):
        Rule.objects.create(**{**here, "name": name, "kind": "dag-failed", **fields})
    wide = Rule(**fields_of(organization), kind="dag-failed", dags="sales")
    elsewhere = Rule(**fields_of(far), kind="dag-failed")

    page = client.get("/w/warehouse/alerts/").content.decode()

    check_page(page)
    counts = re.findall(r'data-label="Matches now">\s*(.*?)\s*</td>', page, re.DOTALL)
    words = [re.sub(r"<[^>]+>", " ", one).split() for one in counts]
    assert [" ".join(one) for one in words] == [
        "8 DAGs 2 paused",
        "No such DAG is known",
        "1 DAG",
        "6 DAGs 2 paused",
        "0 DAGs",
        "1 Deployment",
    ]
    each = matched_by_each([wide, elsewhere], seen=Deployment.objects.all())
    assert [(one.deployments, one.dags) for one in each] == [(2, 2), (0, 0)]


def test_many_rules_cost_as_many_queries_as_one_and_look_at_fewer_dags(
    two: list[Deployment], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
):
    rules = [Rule(**fields_of(workspace), kind="dag-failed") for _ in range(4)]
    monkeypatch.setattr(matched, "MOST_CHECKS", 12)

    with CaptureQueriesContext(connection) as queries:
        found = matched_by_each(rules, seen=Deployment.objects.all())
    with CaptureQueriesContext(connection) as none:
        assert matched_by_each([], seen=Deployment.objects.all()) == []

    assert (len(queries), len(none)) == (2, 0)
    assert [(one.dags, one.is_cut) for one in found] == [(3, True)] * 4
    assert matches_in_words(found[0], rules[0]) == ("At least 3 DAGs", "of the first 3")
