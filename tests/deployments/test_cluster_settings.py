"""Settings of a cluster that change under Deployments: applied again, some at a time; databases
stay where they are.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.clusters.connections.planes import config_for
from apps.clusters.models import Cluster, FormerDatabaseServer
from apps.clusters.services import remove_cluster, update_settings
from apps.core.errors import Invalid
from apps.dataplane.errors import Permanent
from apps.dataplane.fake.plane import FakePlane
from apps.deployments import tasks
from apps.deployments.editing.services import delete_deployment, retry, update_config
from apps.deployments.models import Deployment, Operation, RevisionState
from apps.deployments.reconciling import cluster_settings
from apps.deployments.reconciling.compiler import compile_spec
from tests.deployments.conftest import drive
from tests.deployments.test_clusters import FAR_WIDER

pytestmark = pytest.mark.django_db
Make = Callable[..., Deployment]
CANARY = "canary-of-a-server"
SIGN_IN = {"image_pull_secret": json.dumps({"auths": {}})}


@pytest.fixture
def change(alice: User, remote: Cluster) -> Callable[..., int]:
    """Change settings, with the right to apply Deployments again."""

    def to(*, secrets: dict[str, Any] | None = None, **settings: Any) -> int:
        return update_settings(
            actor=alice,
            cluster=remote,
            settings={"name": remote.name, **settings},
            secrets=secrets or {},
            may_apply_again=True,
        )

    return to


def server_at(host: str, *, port: int = 5432, user: str = "maker") -> dict[str, Any]:
    return {"database_host": host, "database_port": port, "database_user": user}


def settings_operations() -> Any:
    return Operation.objects.filter(kind=Operation.Kind.SETTINGS)


def applies(plane: type[FakePlane], deployment: Deployment) -> int:
    return plane.store.calls.count(("apply", deployment.ref))


def test_changed_settings_reach_what_runs_as_an_operation_of_its_own(
    distant: Make, change: Callable[..., int], plane: type[FakePlane]
) -> None:
    deployment = distant()
    before = applies(plane, deployment)

    assert change(secrets=SIGN_IN) == 1
    tasks.sweep()

    operation = settings_operations().get()
    assert operation.title == "Apply the settings of eu-1"
    row = drive(deployment)
    assert applies(plane, deployment) == before + 1
    assert row.wanted.state == RevisionState.APPLIED
    assert not cluster_settings.is_behind(row)
    operation.refresh_from_db()
    assert operation.state == "succeeded"
    event = AuditEvent.objects.get(action="deployment.settings_applied")
    assert event.changes == {"settings": [1, 2]}
    assert cluster_settings.begin_some() == 0


def test_nobody_who_waits_for_an_edit_waits_behind_them(
    distant: Make, change: Callable[..., int]
) -> None:
    deployment = distant()
    Deployment.objects.update(is_urgent=False)
    change(secrets=SIGN_IN)

    cluster_settings.begin_some()

    assert not Deployment.objects.get(pk=deployment.pk).is_urgent


def test_they_are_applied_to_some_at_a_time_and_failures_stop_the_rest(
    distant: Make,
    change: Callable[..., int],
    plane: type[FakePlane],
    monkeypatch: pytest.MonkeyPatch,
    alice: User,
) -> None:
    monkeypatch.setattr(cluster_settings, "AT_ONCE", 2)
    made = [distant(f"etl-{number}") for number in range(4)]
    change(secrets=SIGN_IN)

    assert cluster_settings.begin_some() == 2
    assert cluster_settings.begin_some() == 0

    plane.store.fail("apply", Permanent("The image cannot be pulled."), ref=made[0].ref)
    plane.store.fail("apply", Permanent("The image cannot be pulled."), ref=made[1].ref)
    failed = [drive(one) for one in made[:2]]
    assert [one.wanted.state for one in failed] == [RevisionState.FAILED] * 2
    assert cluster_settings.begin_some() == 0

    retry(actor=alice, deployment=made[0])
    drive(made[0])
    assert cluster_settings.begin_some() == 1


def test_one_in_the_midst_of_an_edit_gets_them_with_it(
    distant: Make, change: Callable[..., int], alice: User
) -> None:
    deployment = distant()
    change(secrets=SIGN_IN)
    update_config(
        actor=alice, deployment=deployment, configuration=FAR_WIDER, base_revision_number=1
    )

    assert cluster_settings.begin_some() == 0

    assert not cluster_settings.is_behind(drive(deployment))
    assert not settings_operations().exists()


def test_what_is_deleted_or_does_not_answer_is_left_alone(
    distant: Make, change: Callable[..., int], alice: User, remote: Cluster
) -> None:
    going, _ = distant("etl-1"), distant("etl-2")
    delete_deployment(actor=alice, deployment=going, typed_name="etl-1")
    change(secrets=SIGN_IN)
    Cluster.objects.filter(pk=remote.pk).update(blind_until="2200-01-01T00:00:00Z")

    assert cluster_settings.begin_some() == 0

    Cluster.objects.filter(pk=remote.pk).update(blind_until=None)
    assert cluster_settings.begin_some() == 1


def test_a_sweep_asks_one_question_where_nothing_changed(distant: Make) -> None:
    distant()

    with CaptureQueriesContext(connection) as queries:
        assert cluster_settings.begin_some() == 0

    assert len(queries) == 1


def test_what_others_changed_and_may_keep_stays(
    distant: Make, change: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = distant()
    assert deployment.wanted is not None
    deployment.wanted.config["corrects_drift"] = False
    deployment.wanted.save(update_fields=["config"])
    seen: list[bool] = []
    apply = FakePlane.apply
    monkeypatch.setattr(
        FakePlane,
        "apply",
        lambda plane, *, spec: seen.append(spec.corrects_drift) or apply(plane, spec=spec),
    )
    change(secrets=SIGN_IN)
    cluster_settings.begin_some()

    drive(deployment)

    assert seen == [False]


@pytest.mark.parametrize(
    "changed", [{"name": "eu-2"}, server_at("db.test"), {"database_port": 6432}]
)
def test_a_name_or_a_server_for_new_databases_touches_nobody(
    distant: Make, change: Callable[..., int], changed: dict[str, Any]
) -> None:
    deployment = distant()

    assert change(**changed) == 0

    assert not cluster_settings.is_behind(Deployment.objects.get(pk=deployment.pk))


def test_without_a_confirmation_nothing_is_changed(
    distant: Make, alice: User, remote: Cluster
) -> None:
    distant()

    with pytest.raises(Invalid, match="Confirm that 1 Deployment is applied again"):
        update_settings(
            actor=alice, cluster=remote, settings={"name": remote.name}, secrets=SIGN_IN
        )

    remote.refresh_from_db()
    assert remote.image_pull_secret is None


def test_a_database_stays_on_its_server(
    distant: Make, change: Callable[..., int], remote: Cluster
) -> None:
    inside = distant("inside")
    change(secrets={"database_password": CANARY}, **server_at("one.test"))
    first = distant("first")
    change(secrets={"database_password": "other"}, **server_at("two.test"))
    second = distant("second")
    remote.refresh_from_db()

    config = config_for(remote)
    servers = {}
    for one in (inside, first, second):
        assert one.wanted is not None
        spec = compile_spec(deployment=one, revision=one.wanted)
        chosen = config.for_database_on(spec.database_server).database
        servers[one.name] = chosen and (chosen.host, chosen.password)

    assert servers == {
        "inside": None,
        "first": ("one.test", CANARY),
        "second": ("two.test", "other"),
    }
    assert CANARY.encode() not in bytes(FormerDatabaseServer.objects.get().password)
    assert CANARY not in repr(config)


def test_another_password_is_for_those_on_that_server(
    distant: Make, change: Callable[..., int]
) -> None:
    distant("inside")
    change(secrets={"database_password": CANARY}, **server_at("one.test"))
    distant("first")

    assert change(secrets={"database_password": "new"}, **server_at("one.test")) == 1
    assert not FormerDatabaseServer.objects.exists()


def test_a_former_server_is_forgotten_when_nobody_is_on_it_or_it_is_back(
    distant: Make, change: Callable[..., int], alice: User, remote: Cluster
) -> None:
    change(secrets={"database_password": "1"}, **server_at("one.test"))
    change(secrets={"database_password": "2"}, **server_at("two.test"))
    assert not FormerDatabaseServer.objects.exists()
    second = distant("second")
    change(secrets={"database_password": "3"}, **server_at("three.test"))
    assert str(FormerDatabaseServer.objects.get()) == "two.test:5432"

    change(secrets={"database_password": "4"}, **server_at("two.test"))
    assert not FormerDatabaseServer.objects.exists()

    change(secrets={"database_password": "5"}, **server_at("three.test"))
    delete_deployment(actor=alice, deployment=second, typed_name="second")
    drive(second)
    change(secrets={"database_password": "6"}, **server_at("four.test"))
    assert not FormerDatabaseServer.objects.exists()


def test_a_removed_cluster_keeps_no_password_of_a_former_server(
    distant: Make, change: Callable[..., int], alice: User, remote: Cluster
) -> None:
    change(secrets={"database_password": "1"}, **server_at("one.test"))
    deployment = distant()
    change(secrets={"database_password": "2"}, **server_at("two.test"))
    delete_deployment(actor=alice, deployment=deployment, typed_name="etl-far")
    drive(deployment)
    assert FormerDatabaseServer.objects.exists()

    remove_cluster(actor=alice, cluster=remote, typed_name="eu-1")

    assert not FormerDatabaseServer.objects.exists()


def test_a_server_that_nobody_knows_any_more_is_named(distant: Make, remote: Cluster) -> None:
    deployment = distant()
    Deployment.objects.update(database_server="lost.test:5432")
    deployment.refresh_from_db()
    assert deployment.wanted is not None
    spec = compile_spec(deployment=deployment, revision=deployment.wanted)

    with pytest.raises(
        Permanent, match=r"on lost\.test:5432, which the cluster's settings no longer"
    ):
        config_for(remote).for_database_on(spec.database_server)


def test_the_page_says_that_settings_changed(
    distant: Make, change: Callable[..., int], alice: User, client_of: Any
) -> None:
    deployment = distant()
    browser = client_of(alice)
    address = f"/d/{deployment.ref}/"
    assert "The settings of eu-1 have changed" not in browser.get(address).content.decode()

    change(secrets=SIGN_IN)

    assert "The settings of eu-1 have changed" in browser.get(address).content.decode()
    cluster_settings.begin_some()
    assert "Apply the settings of eu-1" in browser.get(address).content.decode()
    drive(deployment)
    assert "The settings of eu-1 have changed" not in browser.get(address).content.decode()
