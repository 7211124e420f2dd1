"""One change to many Deployments: previewed, begun a few at a time, stopped, resumed."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.access.queries import limit_permissions
from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.audit.models import AuditEvent
from apps.bulk_actions import running, services
from apps.bulk_actions.actions.catalogue import ACTIONS
from apps.bulk_actions.models import BulkAction
from apps.bulk_actions.queries import Filter, candidates
from apps.core.errors import Conflict, Invalid, Refused
from apps.deployments.editing.hibernating import hibernate
from apps.deployments.models import Deployment, Operation, Revision, SecretValue
from apps.deployments.secrets.sealed import open_secret_value
from apps.organizations.models import Workspace
from apps.upgrades.models import Upgrade
from apps.upgrades.services import targets_of
from tests.conftest import make_user, new_deployment, put_role, role
from tests.deployments.conftest import drive

SECRET = "hush-hush-value"


@pytest.fixture
def many(make_deployment):
    return [make_deployment(name=f"etl-{letter}") for letter in "abcdefg"]


def prepare(actor, place, kind="restart", parameters=None, deployments=None, **other):
    found = candidates(user=actor, place=place, wanted=Filter())
    if deployments is not None:
        found = found.filter(pk__in=[one.pk for one in deployments])
    return services.prepare(
        actor=actor,
        place=place,
        kind=kind,
        parameters=parameters or {},
        deployments=found,
        **other,
    )


def states(action):
    return list(action.items.order_by("position").values_list("state", flat=True))


def end_operations(state="succeeded", **where):
    Operation.objects.filter(state="running", **where).update(state=state, failure="It broke.")


def test_a_restart_reaches_all_five_at_a_time(many, alice, workspace):
    action = prepare(alice, workspace)
    assert states(action) == ["waiting"] * 7
    assert not Operation.objects.exists()

    services.begin(actor=alice, action=action)
    running.step(action_id=action.pk)
    running.step(action_id=action.pk)

    assert states(action) == ["running"] * 5 + ["waiting"] * 2
    end_operations()
    running.step(action_id=action.pk)
    assert states(action) == ["done"] * 5 + ["running"] * 2
    end_operations()
    running.step(action_id=action.pk)
    action.refresh_from_db()
    assert (states(action), action.state) == (["done"] * 7, "ended")
    assert list(Deployment.objects.values_list("restarts", flat=True)) == [1] * 7
    assert AuditEvent.objects.filter(action="deployment.restarted").count() == 7
    assert running.due() == []


def test_an_unexpected_error_fails_one_and_stops_the_action(many, alice, workspace, monkeypatch):
    def broken(**_: object) -> None:
        raise RuntimeError("no sentence of ours")

    monkeypatch.setattr(ACTIONS["restart"], "begin", broken)
    action = prepare(alice, workspace)

    services.begin(actor=alice, action=action)
    running.step(action_id=action.pk)

    action.refresh_from_db()
    first = action.items.order_by("position").first()
    assert (action.state, action.stop_reason) == ("stopped", "etl-a failed.")
    assert states(action) == ["failed"] + ["waiting"] * 6
    assert "log of the portal" in first.message


def test_those_that_are_awake_hibernate_and_wake_again(many, alice, workspace):
    asleep, *others = many
    hibernate(actor=alice, deployment=asleep, until=None, now=timezone.now())
    end_operations()

    action = prepare(alice, workspace, kind="hibernate", parameters={"hours": "4"})
    assert sorted(states(action)) == ["refused"] + ["waiting"] * 6
    services.begin(actor=alice, action=action)
    running.step(action_id=action.pk)
    assert Deployment.objects.filter(is_hibernating=True).count() == 6
    end_operations()
    running.step(action_id=action.pk)
    end_operations()
    running.step(action_id=action.pk)
    assert Deployment.objects.filter(is_hibernating=True).count() == 7

    Revision.objects.update(state="applied")
    back = prepare(alice, workspace, kind="wake", deployments=others[:2])
    services.begin(actor=alice, action=back)
    running.step(action_id=back.pk)
    assert Deployment.objects.filter(is_hibernating=True).count() == 5


def test_a_failure_stops_it_and_what_failed_is_skipped_or_tried_again(many, alice, workspace):
    action = prepare(alice, workspace, at_once=2)
    services.begin(actor=alice, action=action)
    running.step(action_id=action.pk)
    end_operations("failed", deployment=many[0])
    running.step(action_id=action.pk)

    action.refresh_from_db()
    assert (action.state, action.stop_reason) == ("stopped", "etl-a failed.")
    assert states(action) == ["failed", "running", *["waiting"] * 5]
    # What runs is still followed.
    assert running.due() == [action.pk]
    end_operations()
    running.step(action_id=action.pk)
    assert states(action)[:3] == ["failed", "done", "waiting"]

    services.resume(actor=alice, action=action, skips_failed=True)
    running.step(action_id=action.pk)
    assert states(action)[:5] == ["skipped", "done", "running", "running", "waiting"]
    end_operations("failed", deployment=many[2])
    running.step(action_id=action.pk)
    services.resume(actor=alice, action=action, skips_failed=False)
    assert states(action)[2] == "waiting"


def test_without_the_setting_a_failure_stops_nothing(many, alice, workspace):
    action = prepare(alice, workspace, stops_on_failure=False, at_once=7)
    services.begin(actor=alice, action=action)
    running.step(action_id=action.pk)
    end_operations("failed", deployment=many[0])
    end_operations()
    running.step(action_id=action.pk)

    action.refresh_from_db()
    assert action.state == "ended"
    assert states(action) == ["failed", *["done"] * 6]
    item = action.items.get(deployment=many[0])
    assert item.message == "It broke."


def test_rights_are_asked_for_each_at_the_preview_and_again_before_it_is_begun(
    many, workspace, organization, bob, cluster
):
    put_role(bob, role("deployment", "admin"), many[0])
    put_role(bob, role("deployment", "admin"), many[1])
    other = Workspace.objects.create(organization=organization, name="Hidden", slug="hidden")
    new_deployment(workspace=other, cluster=cluster, name="unseen")

    action = prepare(bob, organization, at_once=1)

    assert states(action) == ["waiting", "waiting", *["refused"] * 5]
    refused = action.items.filter(state="refused")[0]
    assert "it takes the permission “Edit configuration" in refused.message
    services.begin(actor=bob, action=action)
    running.step(action_id=action.pk)
    many[1].grants.all().delete()
    end_operations()
    running.step(action_id=action.pk)
    assert states(action)[:2] == ["done", "refused"]
    assert set(Operation.objects.values_list("deployment", flat=True)) == {many[0].pk}


def test_a_token_that_is_limited_stays_limited_and_one_who_left_ends_it(many, workspace, alice):
    limited = User.objects.get(pk=alice.pk)
    limit_permissions(limited, {"workspace.view", "deployment.view"})
    action = prepare(limited, workspace)
    assert set(states(action)) == {"refused"}
    full = prepare(alice, workspace)
    BulkAction.objects.filter(pk=full.pk).update(permissions=["deployment.view"])
    services.begin(actor=alice, action=full)
    running.step(action_id=full.pk)
    assert set(states(full)) == {"refused"}

    third = prepare(alice, workspace)
    services.begin(actor=alice, action=third)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    running.step(action_id=third.pk)

    third.refresh_from_db()
    assert (third.state, set(states(third))) == ("ended", {"skipped"})
    assert not Operation.objects.exists()


def test_a_secret_variable_is_sealed_everywhere_and_forgotten_at_the_end(create, alice, workspace):
    two = [drive(create(name).deployment) for name in ("one", "two")]
    parameters = {"name": "TOKEN", "value": SECRET, "is_secret": True}
    action = prepare(alice, workspace, "variable", parameters)
    assert SECRET not in str(vars(action)) + str(list(action.items.values()))

    services.begin(actor=alice, action=action)
    running.step(action_id=action.pk)

    rows = [drive(one) for one in two]
    running.step(action_id=action.pk)
    for row in rows:
        (variable,) = row.wanted.configuration.variables
        kept = SecretValue.objects.get(pk=variable.secret_id)
        assert (kept.deployment, open_secret_value(kept)) == (row, SECRET)
    action.refresh_from_db()
    assert (action.state, action.sealed) == ("ended", None)
    assert SECRET not in str(list(AuditEvent.objects.values_list("changes", flat=True)))


def test_a_preview_says_what_changes_and_why_not(many, alice, workspace, make_deployment):
    make_deployment(name="zz-other", config={"queues": [], "executor": "local"})

    workers = prepare(
        alice, workspace, "workers", {"queue": "default", "min_workers": 2, "max_workers": 3}
    )
    wrong = prepare(
        alice, workspace, "workers", {"queue": "default", "min_workers": 4, "max_workers": 3}
    )
    same = prepare(
        alice, workspace, "workers", {"queue": "default", "min_workers": 1, "max_workers": 2}
    )

    messages = list(workers.items.order_by("position").values_list("message", flat=True))
    assert "becomes" in messages[0]
    assert messages[-1] == "It has no worker queue called default."
    assert set(states(wrong)) == {"refused"}
    assert same.items.all()[0].message == "It is so already."
    with pytest.raises(Conflict, match="nothing to begin"):
        services.begin(actor=alice, action=same)


def test_bad_parameters_are_refused_with_their_field(many, alice, workspace):
    for kind, parameters, field in (
        ("variable", {"name": "AIRFLOW_HOME", "value": "x"}, "name"),
        ("variable", {"name": "A B", "value": "x"}, "name"),
        ("workers", {"queue": "q", "min_workers": -1, "max_workers": 1}, "min_workers"),
        ("description", {"description": "x" * 501}, "description"),
        ("explode", {}, "kind"),
    ):
        with pytest.raises(Invalid) as refused:
            prepare(alice, workspace, kind, parameters)
        assert refused.value.field == field
    with pytest.raises(Invalid, match="at least one"):
        prepare(alice, workspace, deployments=[])
    with pytest.raises(Invalid, match="From 1 to 20"):
        prepare(alice, workspace, at_once=0)


def test_only_its_author_begins_it_and_an_owner_stops_it(many, alice, workspace, organization):
    olga = make_user("Olga")
    put_role(olga, role("organization", "member"), organization)
    put_role(olga, role("workspace", "operator"), workspace)
    action = prepare(olga, workspace)

    with pytest.raises(Refused, match="with their rights"):
        services.begin(actor=alice, action=action)
    services.begin(actor=olga, action=action)
    services.stop(actor=alice, action=action)
    with pytest.raises(Refused):
        services.resume(actor=alice, action=action, skips_failed=True)
    mine = prepare(alice, workspace)
    services.begin(actor=alice, action=mine)
    with pytest.raises(Refused, match="or an owner"):
        services.stop(actor=olga, action=mine)


def test_it_ends_with_the_ways_into_an_account(many, alice, workspace):
    action = prepare(alice, workspace)
    services.begin(actor=alice, action=action)

    told = earlier_access_ended.send(sender=User, user=alice)

    assert ["Restart for many Deployments of Warehouse"] in [words for _, words in told]
    action.refresh_from_db()
    assert action.state == "ended"


@pytest.mark.django_db(transaction=True)
def test_two_workers_and_a_killed_one_begin_each_deployment_once(many, alice, workspace):
    action = prepare(alice, workspace, at_once=7)
    services.begin(actor=alice, action=action)

    class Killed(BaseException):
        pass

    # A worker dies in the midst of a Deployment: neither the item nor the operation is there.
    def die():
        with transaction.atomic():
            running._begin_next(action.pk)
            raise Killed

    with pytest.raises(Killed):
        die()
    assert states(action) == ["waiting"] * 7

    def work():
        running.step(action_id=action.pk)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    running.step(action_id=action.pk)

    assert states(action) == ["running"] * 7
    assert Operation.objects.count() == 7


def test_what_ended_long_ago_and_previews_are_removed(many, alice, workspace):
    now = timezone.now()
    rows = BulkAction.objects

    def aged(state, days):
        action = prepare(alice, workspace)
        at = now - timedelta(days=days)
        rows.filter(pk=action.pk).update(state=state, created_at=at, ended_at=at)
        return action.pk

    gone = {aged("ended", 91), aged("draft", 2)}
    stay = {aged("ended", 89), aged("draft", 0), aged("running", 100), aged("stopped", 100)}

    assert running.remove_old(now=now) == len(gone)
    assert set(rows.values_list("pk", flat=True)) == stay
    assert Deployment.objects.filter(name__startswith="etl-").count() == len(many)


def test_an_upgrade_is_checked_first_and_confirmed_where_nothing_stands_in_the_way(
    make_deployment, alice, workspace
):
    old = {"runtime": "3.2.1-1"}
    good, bad = make_deployment(name="a", config=old), make_deployment(name="b", config=old)
    make_deployment(name="c")
    target = targets_of(good)[0].version

    action = prepare(alice, workspace, "upgrade", {"target": target}, stops_on_failure=False)
    services.begin(actor=alice, action=action)
    running.step(action_id=action.pk)

    assert states(action) == ["running", "running", "refused"]
    finding = {"tone": "bad", "title": "2 DAGs cannot be imported", "detail": "", "lines": []}
    Upgrade.objects.update(state="ready")
    Upgrade.objects.filter(deployment=bad).update(findings=[finding])
    running.step(action_id=action.pk)
    assert states(action) == ["running", "failed", "refused"]
    assert "2 DAGs cannot be imported" in action.items.get(deployment=bad).message
    confirmed = Upgrade.objects.get(deployment=good)
    assert (confirmed.state, confirmed.confirmed_by) == ("waiting", alice)
    Upgrade.objects.filter(pk=confirmed.pk).update(state="done")
    running.step(action_id=action.pk)
    action.refresh_from_db()
    assert (states(action), action.state) == (["done", "failed", "refused"], "ended")


def test_upgrades_of_many_wait_for_their_window(make_deployment, alice, workspace):
    old = {"runtime": "3.2.1-1"}
    first = make_deployment(name="a", config=old)
    make_deployment(name="b", config=old)
    target, night = targets_of(first)[0].version, timezone.now() + timedelta(hours=6)
    for bad in ("tonight", "2020-01-01T00:00", f"{timezone.now() + timedelta(days=91):%Y-%m-%d}"):
        with pytest.raises(Invalid):
            prepare(alice, workspace, "upgrade", {"target": target, "starts_at": bad})

    parameters = {"target": target, "starts_at": night.isoformat()}
    action = prepare(alice, workspace, "upgrade", parameters, at_once=1)
    assert f"not before {night:%Y-%m-%d %H:%M} UTC" in action.items.first().message
    services.begin(actor=alice, action=action)
    running.step(action_id=action.pk)
    Upgrade.objects.update(state="ready")
    running.step(action_id=action.pk)

    [upgrade] = Upgrade.objects.all()
    assert (upgrade.state, upgrade.starts_at) == ("waiting", night)
    # The next one is checked when the first is done, and then begins at once.
    Upgrade.objects.update(state="done")
    running.step(action_id=action.pk)
    begun = Upgrade.objects.exclude(pk=upgrade.pk)
    begun.update(state="ready", starts_at=timezone.now() - timedelta(minutes=1))
    running.step(action_id=action.pk)
    assert begun.get().state == "waiting"
    assert begun.get().starts_at is None
    assert states(action) == ["done", "running"]
