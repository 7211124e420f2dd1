import hashlib
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.audit.models import AuditEvent
from apps.audit.services import record
from tests.audit.events import sql, tie_at_once


def write(organization, action, actor=None, label="etl"):
    return record(
        action=action,
        actor=actor,
        organization_id=organization.pk,
        target_kind="deployment",
        target_id=1,
        target_label=label,
        changes={"name": ["a <b>", "c"]},
    )


def test_an_owner_reads_what_happened(alice, organization, client_of):
    write(organization, "deployment.created", alice)

    page = client_of(alice).get("/o/nordhavn/audit/").content.decode()

    assert "deployment.created" in page
    assert "name: a &lt;b&gt; → c" in page


def test_filters_are_in_the_address(alice, organization, client_of):
    write(organization, "deployment.created", alice)
    write(organization, "secret.rotated", label="other")
    client = client_of(alice)

    assert b"deployment.created" not in client.get("/o/nordhavn/audit/?action=secret").content
    assert b"secret.rotated" not in client.get("/o/nordhavn/audit/?actor=alice").content
    assert b"No matching events" in client.get("/o/nordhavn/audit/?target=zzz").content


def test_days_narrow_the_list_in_the_zone_of_the_reader(alice, organization, client_of):
    write(organization, "deployment.created", alice)
    today = timezone.localdate()
    yesterday, tomorrow = today - timedelta(days=1), today + timedelta(days=1)
    client = client_of(alice)

    def page(query: str) -> str:
        return client.get(f"/o/nordhavn/audit/?{query}").content.decode()

    assert "deployment.created" in page(f"since={today}&until={today}")
    assert "No matching events" in page(f"since={tomorrow}")
    assert "No matching events" in page(f"until={yesterday}")
    assert export(client, f"?until={yesterday}&action=deployment") == []
    assert "deployment.created" in page("since=0001-01-01&until=9999-12-31")


def test_a_day_that_is_none_is_refused_and_the_rest_of_the_filters_stays(alice, client_of):
    client = client_of(alice)

    for query, message in (
        ("since=yesterday&actor=ana", "Enter a date such as 2026-12-31."),
        ("since=2026-02-01&until=2026-01-31&actor=ana", "This date is before the start date."),
    ):
        refused = client.get(f"/o/nordhavn/audit/?{query}")
        assert refused.status_code == 422
        assert message in refused.content.decode()
        assert b'value="ana"' in refused.content
        assert client.post(f"/o/nordhavn/audit/export/?{query}").status_code == 422


@pytest.mark.django_db(transaction=True)
def test_an_owner_verifies_that_the_log_is_whole(alice, organization, client_of):
    write(organization, "deployment.created", alice)

    page = client_of(alice).post("/o/nordhavn/audit/verify/").content.decode()

    assert "Verified" in page
    assert AuditEvent.objects.latest("pk").hash in page


@pytest.mark.django_db(transaction=True)
def test_an_owner_reads_what_was_tampered_with(alice, organization, client_of):
    event = write(organization, "deployment.created", alice)
    sql("ALTER TABLE audit_auditevent DISABLE TRIGGER audit_guard_event")
    sql("UPDATE audit_auditevent SET actor_label = 'someone' WHERE id = %s", event.pk)
    sql("ALTER TABLE audit_auditevent ENABLE TRIGGER audit_guard_event")

    page = client_of(alice).post("/o/nordhavn/audit/verify/").content.decode()

    assert "Verified" not in page
    assert "(deployment.created) was changed." in page


def test_a_log_too_long_for_a_page_names_the_command(alice, organization, client_of, monkeypatch):
    monkeypatch.setattr("apps.organizations.audit_log.views.MOST_VERIFIED", 0)
    write(organization, "deployment.created", alice)
    tie_at_once()

    answer = client_of(alice).post("/o/nordhavn/audit/verify/")

    assert answer.status_code == 422
    assert f"verify_audit --organization {organization.pk}" in answer.content.decode()


def test_only_who_may_read_the_log_may_verify_it(alice, bob, charlie, client_of):
    assert client_of(bob).post("/o/nordhavn/audit/verify/").status_code == 403
    assert client_of(charlie).post("/o/nordhavn/audit/verify/").status_code == 404


def test_it_is_paged(alice, organization, client_of):
    for number in range(60):
        write(organization, "deployment.created", label=f"etl-{number}.")

    page = client_of(alice).get("/o/nordhavn/audit/?page=2").content

    assert b"etl-1." in page
    assert b"etl-59." not in page


def test_a_member_is_told_who_may_read_it(alice, bob, client_of):
    refusal = client_of(bob).get("/o/nordhavn/audit/")

    assert refusal.status_code == 403
    assert b"Organization Owner" in refusal.content


def test_other_organizations_are_never_shown(alice, charlie, organization, client_of):
    write(organization, "deployment.created", label="ours-alone")
    client = client_of(charlie)

    assert client.get("/o/nordhavn/audit/").status_code == 404
    assert b"ours-alone" not in client.get("/o/elsewhere/audit/").content


def test_the_filters_bear_odd_input(alice, client_of):
    client = client_of(alice)

    for text, status in (("%25", 200), ("'", 200), ("x" * 5000, 422)):
        page = client.get(f"/o/nordhavn/audit/?actor={text}&action={text}&target={text}")
        assert page.status_code == status


def export(client, query=""):
    response = client.post(f"/o/nordhavn/audit/export/{query}")
    assert response["Content-Type"] == "application/x-ndjson"
    assert response.streaming
    return [json.loads(line) for line in response.getvalue().decode().splitlines()]


def test_the_export_holds_every_event_and_itself(alice, charlie, organization, client_of):
    write(organization, "deployment.created", alice, label="åäö")
    tie_at_once()

    lines = export(client_of(alice))

    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line["action"] for line in lines[-2:]] == ["deployment.created", "audit.exported"]
    assert lines[-2]["target_label"] == "åäö"
    assert {line["organization_id"] for line in lines} == {organization.pk}


@pytest.mark.django_db(transaction=True)
def test_a_long_export_comes_in_pieces(alice, organization, client_of, monkeypatch):
    monkeypatch.setattr("apps.audit.services.CHUNK", 2)
    for number in range(7):
        write(organization, "deployment.created", label=f"etl-{number}")

    lines = export(client_of(alice), "?action=deployment")

    assert [line["target_label"] for line in lines] == [f"etl-{number}" for number in range(7)]
    assert [line["sequence"] for line in lines] == list(range(2, 9))


def test_anybody_can_verify_an_export(alice, organization, client_of):
    write(organization, "deployment.created", alice)
    tie_at_once()
    previous = "0" * 64

    for line in export(client_of(alice)):
        chained = {key: line.pop(key) for key in ("sequence", "previous_hash", "digest", "hash")}
        text = json.dumps(line, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()
        link = hashlib.sha256(f"{previous}:{chained['sequence']}:{digest}".encode()).hexdigest()
        assert chained["previous_hash"] == previous
        assert (chained["digest"], chained["hash"]) == (digest, link)
        previous = link


def test_the_export_takes_the_filters_of_the_page(alice, organization, client_of):
    write(organization, "deployment.created", alice)
    write(organization, "secret.rotated")
    client = client_of(alice)

    page = client.get("/o/nordhavn/audit/?action=secret&page=1").content.decode()
    lines = export(client, "?action=secret")

    assert 'action="/o/nordhavn/audit/export/?action=secret"' in page
    assert [line["action"] for line in lines] == ["secret.rotated"]
    exported = export(client, "?action=audit")
    assert exported[0]["changes"] == {"action": "secret"}


def test_only_who_may_read_the_log_may_export_it(alice, bob, charlie, client_of):
    refusal = client_of(bob).post("/o/nordhavn/audit/export/")

    assert refusal.status_code == 403
    assert b"Organization Owner" in refusal.content
    assert client_of(charlie).post("/o/nordhavn/audit/export/").status_code == 404
    assert client_of(alice).get("/o/nordhavn/audit/export/").status_code == 405


def test_the_export_bears_odd_input(alice, client_of):
    client = client_of(alice)

    for text, status in (("%25", 200), ("'", 200), ("x" * 5000, 422)):
        assert client.post(f"/o/nordhavn/audit/export/?actor={text}").status_code == status
    assert client.post("/o/nordhavn/audit/export/?actor=%00").status_code == 400


def test_the_page_says_how_long_events_are_kept(alice, client_of, settings):
    settings.AUDIT_RETENTION_DAYS = 90

    assert b"kept for 90 days" in client_of(alice).get("/o/nordhavn/audit/").content
