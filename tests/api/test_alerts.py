"""Rules, channels, silences and messages by programs, in the shapes that clients know."""

from datetime import time

import pytest
from django.utils import timezone

from apps.alerts.channels.models import Channel
from apps.alerts.channels.services import secrets_of
from apps.alerts.deliveries.models import Delivery
from apps.alerts.evaluation.models import Alert
from apps.alerts.places import fields_of
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.models import Rule
from apps.alerts.silences.models import Silence
from apps.api.alerts.shapes import KINDS
from apps.audit.models import AuditEvent
from apps.core.public_ids import number_of, public_id
from apps.dags.models import DagSummary
from tests.alerts.examples import MINUTE, NOW, ended, make_channel, make_rule
from tests.alerts.test_payloads import MESSAGE


def at(place, kind="WORKSPACE"):
    return {"entityType": kind, "entityId": public_id(kind.lower(), place.pk)}


def test_a_program_keeps_a_channel_and_its_secret_never_comes_back(alice, workspace, program_of):
    program = program_of(alice)
    secret = "https://hooks.slack.example/T0/B0/told-once"
    body = {
        "name": "On call",
        "type": "SLACK",
        **at(workspace),
        "definition": {"webhookUrl": secret},
    }

    made = program.post("/notification-channels", body)

    assert made.status_code == 200, made.content
    path = f"/notification-channels/{made.json()['id']}"
    assert (made.json()["type"], made.json()["host"]) == ("SLACK", "hooks.slack.example")
    renamed = program.post(path, {"name": "Night", "definition": {"webhookUrl": ""}})
    assert renamed.json()["name"] == program.get(path).json()["name"] == "Night"
    channel = Channel.objects.get()
    assert secrets_of(channel)["url"] == secret
    answers = [made, renamed, program.get(path), program.get("/notification-channels")]
    assert all(b"told-once" not in one.content for one in answers)
    assert "told-once" not in str(list(AuditEvent.objects.values_list("changes", flat=True)))
    assert program.delete(path).status_code == 204
    assert program.get("/notification-channels").json()["notificationChannels"] == []


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"type": "PIGEON"}, "type"),
        ({"definition": {"recipients": ["nobody"]}}, "definition.recipients"),
        ({"definition": {}}, "definition.recipients"),
        ({"type": "SLACK", "definition": {"webhookUrl": "http://x"}}, "definition.webhookUrl"),
        ({"type": "WEBHOOK", "definition": {}}, "definition.webhookUrl"),
        ({"entityType": "PLANET"}, "entityType"),
    ],
)
def test_what_is_wrong_with_a_channel_is_said_at_its_field(
    alice, workspace, program_of, changed, field
):
    good = {"name": "x", "type": "EMAIL", "definition": {"recipients": ["a@example.org"]}}

    answer = program_of(alice).post("/notification-channels", {**good, **at(workspace), **changed})

    assert answer.status_code == 400
    assert field in [one["field"] for one in answer.json()["fieldErrors"]]
    assert not Channel.objects.exists()


RULES = {
    "DAG_FAILURE": {},
    "TASK_FAILURE": {},
    "DAG_SUCCESS": {},
    "DAG_ERROR_BUDGET": {},
    "DAG_DURATION": {"dagDurationSeconds": 3600},
    "TASK_DURATION": {"taskDurationSeconds": 120},
    "DAG_TIMELINESS": {
        "dagDeadline": "08:30",
        "daysOfWeek": ["MONDAY", "FRIDAY"],
        "lookBackPeriodSeconds": 7200,
    },
}


@pytest.mark.parametrize("kind", RULES)
def test_a_rule_comes_back_as_terraform_sent_it_and_again_unchanged(
    alice, deployment, program_of, kind
):
    """Whatever a client reads it can send back."""
    program, channel = program_of(alice), make_channel(deployment.workspace, alice)
    matches = [{"entityType": "DAG_ID", "operatorType": "IS", "values": ["orders", "stock"]}]
    sent = {
        "name": "Late",
        "type": kind,
        "severity": "CRITICAL",
        **at(deployment, "DEPLOYMENT"),
        "notificationChannelIds": [public_id("channel", channel.pk)],
        "rules": {
            "patternMatches": matches,
            "properties": {"deploymentId": public_id("deployment", deployment.pk), **RULES[kind]},
        },
    }

    made = program.post("/alerts", sent)

    assert made.status_code == 200, made.content
    body = made.json()
    assert {name: body[name] for name in ("name", "type", "severity", "entityId")} == {
        name: sent[name] for name in ("name", "type", "severity", "entityId")
    }
    assert body["rules"]["patternMatches"] == matches
    assert sent["rules"]["properties"].items() <= body["rules"]["properties"].items()
    assert [one["id"] for one in body["notificationChannels"]] == sent["notificationChannelIds"]
    assert body["notificationChannels"][0]["definition"] == {}
    assert program.post(f"/alerts/{body['id']}", body).json() == body
    assert program.get(f"/alerts/{body['id']}").json() == body


def test_every_kind_of_rule_has_a_name_for_clients(alice, workspace, program_of):
    for kind in RuleKind:
        make_rule(workspace, kind, due_at=time(6, 30))

    answer = program_of(alice).get("/alerts")

    assert answer.status_code == 200, answer.content
    assert {one["type"] for one in answer.json()["alerts"]} == set(KINDS)


@pytest.mark.parametrize(
    ("dags", "without", "operators"),
    [
        ("orders", "", ["IS"]),
        ("*ord*, *st*", "*tmp*", ["INCLUDES", "EXCLUDES"]),
        ("ord*, stock", "a*b, c", ["MATCHES", "MATCHES_NOT"]),
        ("*, test", "**", ["IS", "MATCHES_NOT"]),
    ],
)
def test_every_pattern_of_the_page_survives_a_round_trip(
    alice, workspace, program_of, dags, without, operators
):
    channel = make_channel(workspace, alice)
    rule = make_rule(workspace, channels=[channel], dags=dags, without_dags=without)
    program, path = program_of(alice), f"/alerts/{public_id('alert', rule.pk)}"

    body = program.get(path).json()
    answer = program.post(path, body)

    assert [one["operatorType"] for one in body["rules"]["patternMatches"]] == operators
    assert answer.status_code == 200, answer.content
    rule.refresh_from_db()
    assert (rule.dags, rule.without_dags) == (dags, without)


@pytest.mark.parametrize(
    ("kind", "entity", "told"),
    [
        ("INCIDENT", "DAG_ID", "It takes deploymentNames."),
        ("INCIDENT", "DAG_TAG", "It takes deploymentNames."),
        ("DAG_FAILURE", "TASK_ID", "It takes DAG_ID and DAG_TAG."),
    ],
)
def test_patterns_that_a_rule_would_leave_out_of_account_are_refused(
    alice, workspace, program_of, kind, entity, told
):
    channel = make_channel(workspace, alice)
    matches = [{"entityType": entity, "operatorType": "IS", "values": ["orders"]}]
    body = {"name": "x", "type": kind, **at(workspace), "rules": {"patternMatches": matches}}
    body["notificationChannelIds"] = [public_id("channel", channel.pk)]

    program = program_of(alice)
    for path in ("/alerts", "/preview-alert"):
        answer = program.post(path, body)
        assert answer.status_code == 400
        assert told in answer.json()["message"]
    assert not Rule.objects.exists()


def test_several_rules_are_made_changed_and_deleted_together_or_not_at_all(
    alice, workspace, program_of
):
    program = program_of(alice)
    channel = public_id("channel", make_channel(workspace, alice).pk)
    good = {
        "name": "a",
        "type": "DAG_FAILURE",
        **at(workspace),
        "notificationChannelIds": [channel],
    }
    bad = {**good, "type": "DAG_DURATION"}

    unknown = program.post("/alerts", {**good, "notificationChannelIds": ["cnone"]})
    assert unknown.json()["fieldErrors"] == [
        {
            "field": "notificationChannelIds",
            "message": "Nothing with that ID can be used here.",
            "code": "invalid",
        }
    ]
    assert program.post("/create-alerts", {"alerts": [good, bad]}).status_code == 400
    assert not Rule.objects.exists()
    made = program.post("/create-alerts", {"alerts": [good, {**good, "name": "b"}]}).json()[
        "alerts"
    ]
    changes = [{"alertId": one["id"], "isEnabled": False} for one in made]
    changed = program.post("/update-alerts", {"alerts": changes}).json()["alerts"]

    assert [(one["name"], one["isEnabled"]) for one in changed] == [("a", False), ("b", False)]
    ids = [one["id"] for one in made]
    assert program.post("/delete-alerts", {"alertIds": [*ids, "cnone"]}).status_code == 404
    assert Rule.objects.count() == 2
    assert program.post("/delete-alerts", {"alertIds": ids}).status_code == 204
    assert not Rule.objects.exists()


def test_a_member_reads_rules_but_changes_none_and_a_stranger_finds_none(
    alice, bob, charlie, workspace, program_of
):
    channel = make_channel(workspace, alice)
    rule = make_rule(workspace, channels=[channel])
    path, member = f"/alerts/{public_id('alert', rule.pk)}", program_of(bob)

    assert member.get(path).json()["notificationChannels"][0]["definition"] == {}
    assert member.post(path, {"name": "x"}).status_code == 403
    assert member.delete(path).status_code == 403
    assert member.get("/notification-channels").json()["totalCount"] == 0
    channel_path = f"/notification-channels/{public_id('channel', channel.pk)}"
    assert member.get(channel_path).status_code == 403
    assert member.get("/silences").json()["silences"] == []
    elsewhere = program_of(charlie, at=charlie.organizationgrant_set.get().content_object)
    assert elsewhere.get(path).status_code == 404


def test_a_rule_on_a_deployment_that_may_not_be_seen_is_not_listed(
    alice, bob, make_deployment, workspace, program_of, monkeypatch
):
    """Whoever may not open an Airflow does not learn the names of its DAGs."""
    rule = make_rule(workspace, deployment=make_deployment(), dags="secret_dag")
    seen = program_of(alice).get("/alerts").json()
    monkeypatch.setattr("apps.api.alerts.rules.SEE", "organization.update")

    hidden = program_of(bob).get("/alerts")

    assert seen["alerts"][0]["id"] == public_id("alert", rule.pk)
    assert b"secret_dag" not in hidden.content


def test_silences_begin_and_end(alice, workspace, deployment, program_of):
    program = program_of(alice)
    body = {
        **at(deployment, "DEPLOYMENT"),
        "beginsAt": "2026-12-05T22:00:00Z",
        "hours": 4,
        "daysOfWeek": ["SATURDAY"],
        "timeZone": "Europe/Berlin",
        "reason": "Maintenance",
    }

    made = program.post("/silences", body)

    assert made.status_code == 200, made.content
    found = made.json()
    assert (found["beginsAt"], found["endsAt"]) == ("2026-12-05T22:00:00Z", "2026-12-06T02:00:00Z")
    assert (found["daysOfWeek"], found["timeZone"]) == (["SATURDAY"], "Europe/Berlin")
    assert found["deploymentId"] == body["entityId"]
    assert program.get("/silences").json()["silences"] == [found]
    assert program.delete(f"/silences/{found['id']}").status_code == 204
    assert program.delete(f"/silences/{found['id']}").status_code == 404
    for wrong in (
        {"hours": 3},
        {"timeZone": "Moon"},
        {"daysOfWeek": ["SOMEDAY"]},
        {"beginsAt": "9999-12-31T23:00:00Z"},
        {"beginsAt": "2026-12-05T22:00:00"},
    ):
        assert program.post("/silences", {**body, **wrong}).status_code == 400


def test_what_a_rule_found_is_read_and_acknowledged_and_its_message_sent_again(
    alice, bob, deployment, program_of
):
    workspace, program = deployment.workspace, program_of(alice)
    channel = make_channel(workspace, alice)
    alert = Alert.objects.create(
        rule=make_rule(workspace, channels=[channel]),
        deployment=deployment,
        subjects={"orders": {"dag": "orders", "run": "r", "count": 2, "at": 1}},
        count=2,
        happened_at=NOW,
        opened_at=NOW,
        last_at=NOW,
    )
    message = MESSAGE.as_json()
    Delivery.objects.create(
        channel=channel,
        alert=alert,
        event="opened",
        message=message,
        state="failed",
        give_up_at=NOW,
    )
    root = f"/deployments/{public_id('deployment', deployment.pk)}/alerts"

    (found,) = program.get(root, isOpen=True).json()["alerts"]
    assert (found["subjects"], found["count"]) == (["orders"], 2)
    assert program.get(root, isOpen=False).json()["alerts"] == []
    assert program_of(bob).post(f"{root}/{alert.pk}/acknowledge").status_code == 403
    done = program.post(f"{root}/{alert.pk}/acknowledge").json()
    assert done["acknowledgedBy"]["username"] == alice.email
    assert program.get(f"{root}/99999999999999999999").status_code == 404

    (sent,) = program.get("/alert-messages", status="FAILED").json()["messages"]
    again = program.post(f"/alert-messages/{sent['id']}/resend").json()
    assert (sent["status"], again["status"]) == ("FAILED", "WAITING")
    assert number_of("message", again["id"]) == Delivery.objects.get().pk
    assert program.get("/alert-messages", status="LOST").status_code == 400


@pytest.mark.parametrize(
    "path", ["/alerts", "/notification-channels", "/silences", "/alert-messages"]
)
def test_lists_cost_as_many_queries_however_long_they_are(
    alice, organization, workspace, deployment, program_of, django_assert_max_num_queries, path
):
    for number in range(4):
        place = (organization, workspace)[number % 2]
        channels = [make_channel(place, alice, name=f"{number} {one}") for one in "ab"]
        make_rule(place, channels=channels, deployment=deployment, escalate_to=channels[0])
        Silence.objects.create(
            **fields_of(place), deployment=deployment, begins_at=NOW, ends_at=NOW + MINUTE
        )
        Delivery.objects.create(
            channel=channels[0], event="opened", message={}, state="failed", give_up_at=NOW
        )
    program = program_of(alice)
    program.get(path)

    with django_assert_max_num_queries(7):
        assert program.get(path).json()["totalCount"] >= 4


def test_a_dry_run_counts_what_a_rule_would_match_and_makes_none(
    alice, bob, deployment, workspace, organization, program_of
):
    for dag, is_paused in (("orders", False), ("orders_old", True), ("stock", False)):
        DagSummary.objects.create(
            deployment=deployment, dag_id=dag, is_paused=is_paused, has_import_error=False
        )
    ended(deployment, at=timezone.now() - MINUTE)
    program = program_of(alice)
    matches = [{"entityType": "DAG_ID", "operatorType": "MATCHES", "values": ["ord*"]}]
    body = {"type": "DAG_FAILURE", "rules": {"patternMatches": matches}}

    answers = [
        program.post("/preview-alert", body | at(on, kind))
        for on, kind in (
            (workspace, "WORKSPACE"),
            (organization, "ORGANIZATION"),
            (deployment, "DEPLOYMENT"),
        )
    ]

    for answer in answers:
        assert answer.status_code == 200, answer.content
        assert answer.json() == {
            "deploymentCount": 1,
            "dagCount": 2,
            "knownDagCount": 3,
            "pausedDagCount": 1,
            "firstNames": ["orders", "orders_old"],
            "isCut": False,
            "timesInLastWeek": 1,
        }
    assert not Rule.objects.exists()
    incident = program.post("/preview-alert", {"type": "INCIDENT", **at(workspace)}).json()
    assert (incident["dagCount"], incident["firstNames"]) == (0, [deployment.name])
    assert program_of(bob).post("/preview-alert", body | at(workspace)).status_code == 403
    for wrong in (
        {"type": "PIGEON"},
        {"type": "DAG_DURATION"},
        {"entityId": "cnone"},
        {"deploymentNames": ",".join("x" * 99)},
    ):
        refused = program.post("/preview-alert", {**body, **at(workspace), **wrong})
        assert refused.status_code == (404 if "entityId" in wrong else 400)


def test_rules_say_what_they_match_where_a_program_asks(
    alice, bob, deployment, workspace, program_of, monkeypatch
):
    for dag in ("orders", "stock"):
        DagSummary.objects.create(
            deployment=deployment, dag_id=dag, is_paused=dag == "stock", has_import_error=False
        )
    rules = [make_rule(workspace, channels=[], dags=dags) for dags in ("ord*", "", "gone")]
    program = program_of(alice)

    counted = program.get("/alerts?includeMatches=true&limit=100").json()["alerts"]

    numbers = {one["id"]: one["matches"]["dagCount"] for one in counted}
    assert [numbers[public_id("alert", one.pk)] for one in rules] == [1, 2, 0]
    one = f"/alerts/{public_id('alert', rules[1].pk)}"
    assert program.get(f"{one}?includeMatches=true").json()["matches"] == {
        "deploymentCount": 1,
        "dagCount": 2,
        "knownDagCount": 2,
        "pausedDagCount": 1,
        "firstNames": ["orders", "stock"],
        "isCut": False,
    }
    assert "matches" not in program.get(one).json()
    assert all("matches" not in rule for rule in program.get("/alerts").json()["alerts"])
    monkeypatch.setattr("apps.api.alerts.rules.SEE", "deployment.delete")
    seen = program_of(bob).get(f"{one}?includeMatches=true").json()["matches"]
    assert (seen["dagCount"], seen["firstNames"]) == (0, [])
    refused = program.get("/alerts?includeMatches=true&limit=101")
    assert refused.status_code == 400
    assert "ask for 100 at most" in refused.json()["message"]
