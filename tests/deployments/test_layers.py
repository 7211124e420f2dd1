"""Settings in layers: what a layer says, whom a change reaches, what a lock means."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.clusters.models import Cluster
from apps.core.errors import Invalid
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.production import Size, WorkloadIdentity
from apps.dataplane.spec import DeploymentSpec
from apps.deployments.configuration.options import deployment_options
from apps.deployments.configuration.schema import Configuration, SettingValue
from apps.deployments.editing.drafts import save_draft
from apps.deployments.editing.forms.data import data_of
from apps.deployments.editing.forms.editor import Editor
from apps.deployments.editing.revisions import InvalidConfiguration
from apps.deployments.editing.services import restore_revision, update_config
from apps.deployments.layering.services import reached_by, update_layer
from apps.deployments.models import Deployment, Operation
from apps.deployments.reconciling import cluster_settings
from apps.deployments.reconciling.compiler import compile_spec
from apps.layers.models import Layer
from apps.organizations.models import Organization, Workspace
from tests.conftest import custom_role, make_user, put_role
from tests.core.pages import check_page
from tests.deployments.conftest import FAR, drive
from tests.deployments.pages import text_of
from tests.kubernetes.certificates import Authority

pytestmark = pytest.mark.django_db
Make = Callable[..., Deployment]
LARGE = Size(cpu_millis=4000, memory_mib=8192)


@pytest.fixture
def say(alice: User) -> Callable[..., int]:
    """Let a layer say something, with the right to apply Deployments again."""

    def to(place: Any, locked: tuple[str, ...] = (), **values: str) -> int:
        return update_layer(
            actor=alice, place=place, values=values, locked=locked, may_apply_again=True
        )

    return to


def with_settings(**values: str) -> Configuration:
    texts = tuple(SettingValue(name=name, value=value) for name, value in values.items())
    return replace(FAR, settings=texts)


def spec_of(deployment: Deployment) -> DeploymentSpec:
    deployment = Deployment.objects.select_related("wanted", "cluster").get(pk=deployment.pk)
    assert deployment.wanted is not None
    return compile_spec(deployment=deployment, revision=deployment.wanted)


def edit(actor: User, deployment: Deployment, configuration: Configuration) -> Operation:
    deployment.refresh_from_db()
    assert deployment.wanted is not None
    return update_config(
        actor=actor,
        deployment=deployment,
        configuration=configuration,
        base_revision_number=deployment.wanted.number,
    )


def test_what_layers_say_reaches_the_data_plane_nearest_first(
    distant: Make,
    say: Callable[..., int],
    organization: Organization,
    workspace: Workspace,
    remote: Cluster,
) -> None:
    deployment = distant()
    say(None, scheduler_size="medium", http_proxy="http://proxy.test:3128")
    say(organization, scheduler_replicas="2")
    say(remote, scheduler_replicas="3", node_selector="pool=airflow")
    say(workspace, scheduler_size="large")

    settings = spec_of(deployment).settings

    assert settings.scheduler_size == LARGE
    assert settings.scheduler_replicas == 3
    assert settings.node_selector == (("pool", "airflow"),)
    assert settings.http_proxy == "http://proxy.test:3128"


def test_a_change_reaches_those_for_whom_something_else_holds_and_no_others(
    distant: Make,
    make_deployment: Make,
    say: Callable[..., int],
    alice: User,
    organization: Organization,
) -> None:
    inherits, sets, local = distant("inherits"), distant("sets"), make_deployment()
    edit(alice, sets, with_settings(scheduler_size="small"))

    found = reached_by(place=organization, values={"scheduler_size": "large"}, locked=())

    assert [one.deployment for one in found] == [inherits]
    assert found[0].changes == (("Scheduler size", "small", "large"),)
    with CaptureQueriesContext(connection) as queries:
        locked = reached_by(
            place=organization,
            values={"scheduler_size": "large", "no_proxy": ".a.test"},
            locked=("scheduler_size",),
        )
    assert {one.deployment for one in locked} == {inherits, sets, local}
    assert len(queries) == 2


def test_what_only_a_cluster_sets_reaches_its_deployments_and_a_rule_reaches_none(
    distant: Make, make_deployment: Make, remote: Cluster
) -> None:
    deployment, elsewhere = distant(), make_deployment()

    reached = reached_by(place=remote, values={"mesh_opt_out": "on"}, locked=())
    ruled = reached_by(place=remote, values={"allowed_priority_classes": "high"}, locked=())
    proxied = reached_by(place=remote, values={"http_proxy": "http://p.test:1"}, locked=())

    assert [one.deployment for one in reached] == [deployment]
    assert ruled == []
    assert elsewhere not in [one.deployment for one in proxied]
    assert [one.deployment for one in proxied] == [deployment]


def test_it_is_applied_as_changed_settings_of_a_cluster_are(
    distant: Make, say: Callable[..., int], workspace: Workspace, plane: type[FakePlane]
) -> None:
    deployment = distant()

    assert say(workspace, scheduler_size="large") == 1
    assert cluster_settings.begin_some() == 1

    operation = Operation.objects.get(kind=Operation.Kind.SETTINGS)
    assert operation.title == "Apply changed settings"
    row = drive(deployment)
    assert not cluster_settings.is_behind(row)
    assert cluster_settings.begin_some() == 0
    event = AuditEvent.objects.get(action="workspace.deployment_settings_updated")
    assert event.changes == {"scheduler_size": [None, "large"]}
    assert event.organization_id == workspace.organization_id


def test_ten_at_a_time(
    distant: Make,
    say: Callable[..., int],
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster_settings, "AT_ONCE", 1)
    made = [distant(f"etl-{number}") for number in range(2)]
    say(workspace, triggerer_replicas="2")

    assert (cluster_settings.begin_some(), cluster_settings.begin_some()) == (1, 0)
    for one in made:
        drive(one)
    assert cluster_settings.begin_some() == 1


def test_a_change_while_an_apply_runs_is_not_lost(
    distant: Make,
    say: Callable[..., int],
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployment = distant()
    say(workspace, scheduler_size="medium")
    cluster_settings.begin_some()
    apply = FakePlane.apply

    def apply_slowly(plane: FakePlane, *, spec: DeploymentSpec) -> Any:
        say(workspace, scheduler_size="large")
        return apply(plane, spec=spec)

    monkeypatch.setattr(FakePlane, "apply", apply_slowly)
    row = drive(deployment)

    assert cluster_settings.is_behind(row)


def test_without_a_confirmation_nothing_is_changed(
    distant: Make, alice: User, workspace: Workspace
) -> None:
    distant()

    with pytest.raises(Invalid, match="Confirm that 1 Deployment is applied again"):
        update_layer(actor=alice, place=workspace, values={"scheduler_size": "large"}, locked=())

    assert not Layer.objects.filter(workspace=workspace).exclude(values={}).exists()


def test_a_lock_holds_and_what_was_set_below_is_kept_for_later(
    distant: Make,
    say: Callable[..., int],
    alice: User,
    remote: Cluster,
    client_of: Callable[..., Client],
) -> None:
    deployment = distant()
    edit(alice, deployment, with_settings(scheduler_size="large"))

    say(remote, locked=("scheduler_size",), scheduler_size="medium")

    assert spec_of(deployment).settings.scheduler_size == Size(cpu_millis=2000, memory_mib=4096)
    with pytest.raises(Invalid, match="Scheduler size is locked by the cluster eu-1"):
        edit(alice, deployment, with_settings(scheduler_size="small"))
    edit(alice, deployment, with_settings(scheduler_size="large", scheduler_replicas="2"))
    page = client_of(alice).get(reverse("deployments:settings", args=[deployment.ref]))
    assert "medium Set here but overridden: large From the cluster eu-1" in text_of(page)
    say(remote, scheduler_size="medium")
    assert spec_of(deployment).settings.scheduler_size == LARGE


def test_a_layer_cannot_say_what_one_above_it_locked(
    say: Callable[..., int], organization: Organization, workspace: Workspace
) -> None:
    say(organization, locked=("http_proxy",), http_proxy="http://proxy.test:3128")

    with pytest.raises(Invalid, match="HTTP proxy is locked by the organization Nordhavn"):
        say(workspace, http_proxy="http://mine.test:3128")


def test_a_revision_with_a_setting_that_was_locked_since_can_be_restored(
    distant: Make, say: Callable[..., int], alice: User, remote: Cluster
) -> None:
    deployment = distant()
    edit(alice, deployment, with_settings(scheduler_size="large"))
    edit(alice, deployment, FAR)
    say(remote, locked=("scheduler_size",), scheduler_size="medium")

    restore_revision(
        actor=alice, deployment=deployment, revision=deployment.revisions.get(number=2)
    )

    assert spec_of(deployment).settings.scheduler_size == Size(cpu_millis=2000, memory_mib=4096)


def test_a_priority_class_is_one_of_those_that_the_cluster_allows(
    distant: Make, say: Callable[..., int], alice: User, remote: Cluster
) -> None:
    deployment = distant()
    with pytest.raises(Invalid, match="does not allow the priority class high. It allows none"):
        edit(alice, deployment, with_settings(priority_class="high"))

    say(remote, allowed_priority_classes="high\nlow")
    edit(alice, deployment, with_settings(priority_class="high"))

    assert spec_of(deployment).settings.priority_class == "high"
    with pytest.raises(Invalid, match="There is no setting allowed_priority_classes here"):
        edit(alice, deployment, with_settings(allowed_priority_classes="system-node-critical"))


ROLE = "arn:aws:iam::123456789012:role/etl"


def test_an_identity_is_one_of_those_that_the_cluster_allows(
    distant: Make, say: Callable[..., int], alice: User, remote: Cluster
) -> None:
    deployment = distant()
    with pytest.raises(Invalid, match="does not allow the identity irsa .* It allows none"):
        edit(alice, deployment, with_settings(workload_identity=f"irsa {ROLE}"))

    say(remote, allowed_workload_identities=f"irsa {ROLE}")
    edit(alice, deployment, with_settings(workload_identity=f"irsa {ROLE}"))

    identity = WorkloadIdentity(kind="irsa", name=ROLE)
    assert spec_of(deployment).settings.workload_identity == identity
    with pytest.raises(Invalid, match="does not allow the identity irsa .*-admin. It allows irsa"):
        edit(alice, deployment, with_settings(workload_identity=f"irsa {ROLE}-admin"))


def test_tasks_start_pods_where_the_cluster_allows_it_and_lose_that_with_it(
    distant: Make, say: Callable[..., int], alice: User, remote: Cluster
) -> None:
    deployment = distant()
    with pytest.raises(Invalid, match="The cluster does not allow KubernetesPodOperator"):
        edit(alice, deployment, with_settings(pod_operator="on"))

    say(remote, pod_operator_allowed="on")
    edit(alice, deployment, with_settings(pod_operator="on"))
    assert spec_of(deployment).settings.pod_operator

    (reached,) = reached_by(place=remote, values={}, locked=())
    assert reached.changes == (("KubernetesPodOperator", "on", "off"),)
    assert say(remote) == 1
    assert not spec_of(deployment).settings.pod_operator


def test_metrics_for_prometheus_are_refused_where_they_go_to_a_collector(
    distant: Make, say: Callable[..., int], alice: User, remote: Cluster
) -> None:
    deployment = distant()
    edit(alice, deployment, with_settings(prometheus="on"))
    assert spec_of(deployment).settings.has_exporter

    say(remote, otel_metrics="http://otel.test:4318/v1/metrics")
    assert not spec_of(deployment).settings.has_exporter
    with pytest.raises(Invalid, match="Airflow sends metrics to one place"):
        edit(alice, deployment, with_settings(prometheus="on", statsd_address="s.test:9125"))


def test_who_uses_an_identity_that_is_taken_off_the_list_is_shown_and_loses_it(
    distant: Make, say: Callable[..., int], alice: User, remote: Cluster
) -> None:
    uses, other = distant("uses"), distant("other")
    say(remote, allowed_workload_identities=f"irsa {ROLE}")
    edit(alice, uses, with_settings(workload_identity=f"irsa {ROLE}"))

    (reached,) = reached_by(place=remote, values={}, locked=())
    assert reached.deployment == uses
    assert reached.changes == (("Workload identity", f"irsa {ROLE}", ""),)
    assert say(remote) == 1

    assert spec_of(uses).settings.workload_identity is None
    uses.refresh_from_db()
    assert cluster_settings.is_behind(uses)
    assert spec_of(other).settings.workload_identity is None


def test_a_quota_below_the_requests_is_said_before_it_is_applied(
    distant: Make, say: Callable[..., int], alice: User, remote: Cluster
) -> None:
    deployment = distant()
    with pytest.raises(Invalid, match="too small: components, database and the least workers"):
        edit(alice, deployment, with_settings(quota_memory="8Gi"))
    edit(alice, deployment, with_settings(quota_memory="16Gi"))

    say(remote, quota_cpu="1")

    with pytest.raises(Invalid, match="request 1.47 CPU"):
        edit(alice, deployment, with_settings(quota_memory="32Gi"))


def test_a_draft_that_is_open_while_an_owner_locks_is_told_and_not_lost(
    distant: Make,
    say: Callable[..., int],
    alice: User,
    remote: Cluster,
    workspace: Workspace,
    client_of: Callable[..., Client],
) -> None:
    deployment = distant()
    configuration = replace(with_settings(scheduler_size="large"), description="Mine")
    draft = save_draft(
        actor=alice,
        workspace=workspace,
        cluster=remote,
        configuration=configuration,
        deployment=deployment,
        base=deployment.wanted,
    )
    say(remote, locked=("scheduler_size",), scheduler_size="medium")
    address = reverse("deployments:review", args=[workspace.slug, draft.pk])
    browser = client_of(alice)

    page = browser.get(address)
    refused = browser.post(address)

    sentence = "Scheduler size is locked by the cluster eu-1."
    assert sentence in page.content.decode()
    assert (refused.status_code, sentence in refused.content.decode()) == (422, True)
    draft.refresh_from_db()
    assert draft.configuration == configuration
    form = browser.get(reverse("deployments:edit_draft", args=[workspace.slug, draft.pk]))
    assert "Locked by the cluster eu-1" in form.content.decode()
    assert "Mine" in form.content.decode()


def test_the_form_shows_what_is_inherited_and_takes_what_is_set(
    distant: Make,
    say: Callable[..., int],
    alice: User,
    remote: Cluster,
    client_of: Callable[..., Client],
) -> None:
    deployment = distant()
    say(remote, scheduler_size="medium", node_selector="pool=airflow")
    browser = client_of(alice)
    address = reverse("deployments:configure", args=[deployment.ref])

    page = browser.get(address)

    check_page(page.content.decode())
    assert "From the cluster eu-1: 2." in page.content.decode()
    assert "Inherited: medium, from the cluster eu-1." in page.content.decode()
    data = {key: value for key, value in page.context["editor"].settings.data.items() if value}
    wrong = browser.post(address, {**data, "settings-scheduler_size": "huge"})
    assert (wrong.status_code, b"Choose small, medium" in wrong.content) == (422, True)
    posted = browser.post(
        address, {**data, "settings-scheduler_size": "LARGE", "settings-node_selector": "none"}
    )
    review = browser.get(posted["Location"])
    text = review.content.decode()
    check_page(text)
    assert "Scheduler size" in text
    assert "inherited" in text
    browser.post(posted["Location"])
    settings = spec_of(deployment).settings
    assert (settings.scheduler_size, settings.node_selector) == (LARGE, ())


def test_the_page_of_a_layer_shows_whom_a_change_reaches_before_it_is_made(
    distant: Make, alice: User, bob: User, workspace: Workspace, client_of: Callable[..., Client]
) -> None:
    deployment = distant()
    address = reverse("deployments:workspace_settings", args=[workspace.slug])
    browser = client_of(alice)
    check_page(browser.get(address).content.decode())
    data = {"scheduler_size": "large", "lock_scheduler_size": "on"}

    asked = browser.post(address, data)

    assert deployment.name in asked.content.decode()
    assert "1 Deployment is applied again" in asked.content.decode()
    assert spec_of(deployment).settings.scheduler_size is None
    done = browser.post(address, {**data, "apply_again": "on"})
    assert done.status_code == 302
    assert spec_of(deployment).settings.scheduler_size == LARGE
    assert Layer.objects.get(workspace=workspace).locked == ["scheduler_size"]
    seen = client_of(bob).get(reverse("deployments:settings", args=[deployment.ref]))
    check_page(seen.content.decode())
    assert "From the workspace Warehouse" in seen.content.decode()
    assert "Locked by the workspace Warehouse" in seen.content.decode()


def test_what_a_layer_said_before_one_above_locked_it_survives_its_next_save(
    say: Callable[..., int],
    alice: User,
    organization: Organization,
    workspace: Workspace,
    client_of: Callable[..., Client],
) -> None:
    say(workspace, locked=("http_proxy",), http_proxy="http://mine.test:3128")
    say(organization, locked=("http_proxy",), http_proxy="http://proxy.test:3128")
    address = reverse("deployments:workspace_settings", args=[workspace.slug])

    saved = client_of(alice).post(address, {"triggerer_replicas": "2"})

    assert saved.status_code == 302
    row = Layer.objects.get(workspace=workspace)
    assert row.values == {"http_proxy": "http://mine.test:3128", "triggerer_replicas": "2"}
    assert row.locked == ["http_proxy"]


@pytest.mark.parametrize("page", ["organization", "workspace", "cluster", "portal"])
def test_bob_reads_a_layer_and_cannot_change_it_and_charlie_does_not_see_it(
    page: str,
    alice: User,
    bob: User,
    charlie: User,
    workspace: Workspace,
    remote: Cluster,
    client_of: Callable[..., Client],
) -> None:
    places = {
        "organization": [workspace.organization.slug],
        "workspace": [workspace.slug],
        "cluster": [workspace.organization.slug, remote.pk],
        "portal": [],
    }
    address = reverse(f"deployments:{page}_settings", args=places[page])
    is_portal = page == "portal"

    assert client_of(bob).get(address).status_code == (404 if is_portal else 200)
    assert client_of(bob).post(address, {}).status_code == (404 if is_portal else 403)
    assert client_of(charlie).get(address).status_code == 404
    assert client_of(alice).get(address).status_code == (404 if is_portal else 200)
    assert client_of(alice).post(address, {"scheduler_size": "huge"}).status_code == (
        404 if is_portal else 422
    )


def test_the_page_of_a_layer_asks_a_constant_number_of_questions(
    distant: Make, alice: User, workspace: Workspace, client_of: Callable[..., Client]
) -> None:
    address = reverse("deployments:workspace_settings", args=[workspace.slug])
    browser = client_of(alice)
    browser.post(address, {"scheduler_size": "huge"})
    counts = []
    for number in range(1, 4, 2):
        distant(f"etl-{number}"), distant(f"dbt-{number}")
        with CaptureQueriesContext(connection) as queries:
            browser.post(address, {"scheduler_size": "large"})
        counts.append(len(queries))

    assert counts[0] == counts[1]


def identity_widget(deployment: Deployment, base: Configuration) -> Any:
    cluster, workspace = deployment.cluster, deployment.workspace
    options = deployment_options(cluster=cluster, today=date(2026, 11, 1), workspace=workspace)
    data = data_of(configuration=base, name="etl", base=1, options=options)
    editor = Editor(data, options=options, base=base, secrets={}, is_validated=False)
    return editor.layered.fields["workload_identity"].widget


def test_the_form_offers_the_identities_that_the_cluster_allows_and_none(
    distant: Make, say: Callable[..., int], remote: Cluster
) -> None:
    deployment, gone = distant(), f"irsa {ROLE}-old"
    say(remote, allowed_workload_identities=f"irsa {ROLE}")

    exact = identity_widget(deployment, FAR)
    with_old = identity_widget(deployment, with_settings(workload_identity=gone))
    say(remote, allowed_workload_identities=f"irsa {ROLE}-*")
    with_star = identity_widget(deployment, FAR)

    assert [value for value, _ in exact.choices] == ["", "none", f"irsa {ROLE}"]
    assert gone in [value for value, _ in with_old.choices], "leaving the field changes nothing"
    assert with_star.choices == ["none", f"irsa {ROLE}-*"]


def test_a_ca_bundle_is_shown_by_names_and_days_and_warned_of(
    distant: Make,
    say: Callable[..., int],
    workspace: Workspace,
    alice: User,
    client_of: Callable[[User], Client],
) -> None:
    deployment = distant()
    client = client_of(alice)
    ending = Authority("Corp Root CA").certificate
    address = reverse("deployments:workspace_settings", args=[workspace.slug])

    asked = client.post(address, {"ca_bundle": ending}).content.decode()
    say(workspace, ca_bundle=ending)
    effective = client.get(reverse("deployments:settings", args=[deployment.ref])).content.decode()
    layer = client.get(address).content.decode()
    check_page(layer)

    assert "“Corp Root CA” until" in asked
    for page in (effective, layer):
        assert "The CA bundle needs care" in page
        assert "“Corp Root CA” ends on" in page
    assert "BEGIN CERTIFICATE" not in effective
    assert spec_of(deployment).settings.ca_bundle == ending


def test_a_ca_bundle_that_has_ended_keeps_nothing_from_being_edited(
    distant: Make, alice: User
) -> None:
    deployment = distant()
    ending = Authority("Corp Root CA").certificate

    operation = edit(alice, deployment, with_settings(ca_bundle=ending, scheduler_size="large"))

    assert operation.deployment == deployment


def test_what_is_no_certificate_is_said_at_its_field_and_kept(
    workspace: Workspace, alice: User, client_of: Callable[[User], Client]
) -> None:
    address = reverse("deployments:workspace_settings", args=[workspace.slug])

    page = client_of(alice).post(address, {"ca_bundle": "my own words"})

    assert page.status_code == 422
    assert "Enter certificates in PEM" in page.content.decode()
    assert "my own words" in page.content.decode()


def test_a_size_of_ones_own_is_written_beside_the_named_ones_and_never_lost(
    distant: Make, alice: User, client_of: Callable[..., Client]
) -> None:
    deployment = distant()
    browser = client_of(alice)
    address = reverse("deployments:configure", args=[deployment.ref])
    page = browser.get(address)
    data = {key: value for key, value in page.context["editor"].settings.data.items() if value}
    own = {"settings-scheduler_size": "own", "settings-scheduler_size_own": "3 cpu"}

    wrong = browser.post(address, data | own)
    own["settings-scheduler_size_own"] = "3 cpu, 6Gi"
    posted = browser.post(address, data | own)
    draft = browser.get(posted["Location"]).context["draft"]
    edit_again = reverse("deployments:edit_draft", args=[draft.workspace.slug, draft.pk])
    again = browser.get(edit_again).content.decode()
    browser.post(posted["Location"])

    assert (wrong.status_code, b"Choose small, medium" in wrong.content) == (422, True)
    assert 'value="3 cpu"' in wrong.content.decode()
    assert 'value="3 CPU, 6Gi"' in again
    assert spec_of(deployment).settings.scheduler_size == Size(cpu_millis=3000, memory_mib=6144)


def test_groups_are_folded_until_one_of_their_settings_is_set_or_wrong(
    workspace: Workspace,
    organization: Organization,
    say: Callable[..., int],
    alice: User,
    client_of: Callable[..., Client],
) -> None:
    say(organization, http_proxy="http://proxy.test:3128")
    say(workspace, scheduler_size="large")
    browser = client_of(alice)
    address = reverse("deployments:workspace_settings", args=[workspace.slug])

    page = browser.get(address)
    wrong = browser.post(address, {"scheduler_replicas": "99"})

    def groups(page: Any) -> dict[str, tuple[bool, int, int]]:
        return {
            one["title"]: (one["is_open"], one["set_count"], one["above_count"])
            for one in page.context["form"].groups
        }

    assert groups(page)["Sizes"] == (True, 1, 0)
    assert groups(page)["Network"] == (False, 0, 1)
    assert groups(page)["Replicas"] == (False, 0, 0)
    assert groups(wrong)["Replicas"][0]
    check_page(page.content.decode())


def test_the_quota_of_a_workspace_holds_for_its_deployments_together(
    distant: Make, say: Callable[..., int], alice: User, organization: Organization
) -> None:
    first, second = distant("first"), distant("second")
    edit(alice, first, with_settings(quota_cpu="12"))
    say(organization, ("workspace_cpu",), workspace_cpu="20")

    edit(alice, second, with_settings(quota_cpu="6"))
    with pytest.raises(InvalidConfiguration) as refused:
        edit(alice, second, with_settings(quota_cpu="9"))
    say(organization, ("workspace_cpu",), workspace_cpu="10")
    # What asks for no more than before goes on.
    edit(alice, second, with_settings(quota_cpu="6", scheduler_size="medium"))

    [problem] = refused.value.problems
    assert problem.field == "settings.quota_cpu"
    assert problem.message.startswith(
        "The quota of the workspace is 20 CPU, and its other Deployments may request 12 CPU of it."
    )
    assert "set its own quota to 8 CPU at most" in problem.message


def test_a_workspace_cannot_pass_its_quota_by_what_it_says_for_all_its_deployments(
    distant: Make,
    say: Callable[..., int],
    alice: User,
    organization: Organization,
    workspace: Workspace,
    remote: Cluster,
    client_of: Callable[..., Client],
) -> None:
    for name in ("first", "second"):
        edit(alice, distant(name), with_settings(quota_memory="16Gi", quota_cpu="6"))
    inherits = distant("third")
    edit(alice, inherits, with_settings(quota_memory="16Gi"))
    say(organization, ("workspace_cpu",), workspace_cpu="30")
    address = reverse("deployments:workspace_settings", args=[workspace.slug])

    refused = client_of(alice).post(address, {"quota_cpu": "100", "apply_again": "on"})

    assert refused.status_code == 422
    sentence = "The quota of Warehouse is 30 CPU. Its Deployments may request "
    assert sentence in refused.content.decode()
    assert "and would request 112 CPU: lower their quotas or sizes first." in text_of(refused)
    assert not Layer.objects.filter(workspace=workspace).exclude(values={}).exists()
    say(workspace, quota_cpu="18")
    # Those who set the quota may let more through, and what asks for less goes on afterwards.
    say(remote, scheduler_size="extra-large")
    say(organization, ("workspace_cpu",), workspace_cpu="20")
    say(workspace, quota_cpu="17")
    assert spec_of(inherits).settings.quota_cpu == 17_000


def test_a_workspace_cannot_raise_a_quota_that_is_locked_above(
    say: Callable[..., int], organization: Organization, workspace: Workspace
) -> None:
    say(organization, ("workspace_memory",), workspace_memory="64Gi")

    with pytest.raises(Invalid, match="locked by the organization"):
        say(workspace, workspace_memory="640Gi")


def test_labels_are_rows_of_names_and_values_which_a_mistake_does_not_lose(
    workspace: Workspace, alice: User, client_of: Callable[..., Client]
) -> None:
    browser = client_of(alice)
    address = reverse("deployments:workspace_settings", args=[workspace.slug])
    rows = {
        "pod_labels_name_0": "team",
        "pod_labels_value_0": "data",
        "pod_labels_name_3": "kubernetes.io/os",
        "pod_labels_value_3": "linux",
        "node_selector_name_0": "none",
    }

    wrong = browser.post(address, rows)
    saved = browser.post(address, {**rows, "pod_labels_name_3": "example.org/os"})
    page = browser.get(address).content.decode()

    assert wrong.status_code == 422
    assert "kubernetes.io/os is reserved" in wrong.content.decode()
    assert 'value="linux"' in wrong.content.decode()
    assert saved.status_code == 302
    assert Layer.objects.get(workspace=workspace).values == {
        "pod_labels": "example.org/os=linux\nteam=data",
        "node_selector": "",
    }
    assert 'value="example.org/os"' in page
    check_page(page)


def test_only_an_owner_says_which_cas_all_deployments_trust(
    organization: Organization, remote: Cluster, workspace: Workspace, alice: User
) -> None:
    clusters = ("organization.clusters.view", "organization.clusters.manage")
    held = frozenset({"organization.view", *clusters})
    carl = make_user("Carl")
    put_role(
        carl, custom_role("Clusters", held, organization=organization, actor=alice), organization
    )
    bundle = {"ca_bundle": Authority("Carl's own").certificate}

    for place in (organization, remote):
        with pytest.raises(Invalid, match="Only an owner of the organization") as refused:
            update_layer(actor=carl, place=place, values=bundle, locked=())
        assert refused.value.field == "ca_bundle"
        with pytest.raises(Invalid, match="Only an owner of the organization"):
            # It would take from Deployments the CAs of their own.
            update_layer(actor=carl, place=place, values={}, locked=("ca_bundle",))
        # What is no matter of trust stays his.
        update_layer(actor=carl, place=place, values={"scheduler_replicas": "2"}, locked=())
        update_layer(actor=alice, place=place, values=bundle, locked=())


def test_whom_a_change_reaches_is_told_to_those_alone_who_see_them(
    organization: Organization,
    remote: Cluster,
    distant: Make,
    alice: User,
    client_of: Callable[..., Client],
) -> None:
    deployment = distant("hidden-from-carl")
    held = {"organization.view", "organization.clusters.view", "organization.clusters.manage"}
    carl = make_user("Carl")
    role = custom_role("Clusters", frozenset(held), organization=organization, actor=alice)
    put_role(carl, role, organization)
    address = reverse("deployments:cluster_settings", args=[organization.slug, remote.pk])
    data = {"scheduler_size": "large"}

    carls = client_of(carl).post(address, data).content.decode()
    alices = client_of(alice).post(address, data).content.decode()
    done = client_of(carl).post(address, data | {"apply_again": "on"})

    assert deployment.name in alices
    assert deployment.name not in carls
    assert "1 of them is in workspaces that you may not see" in carls
    assert "1 of them" not in alices
    assert done.status_code == 302
    check_page(carls)


@pytest.mark.django_db(transaction=True)
def test_of_two_that_take_the_rest_of_a_quota_at_once_one_is_refused(
    distant: Make, say: Callable[..., int], alice: User, organization: Organization
) -> None:
    deployments = [distant("first"), distant("second")]
    say(organization, ("workspace_cpu",), workspace_cpu="20")
    # Both ask for more than they have now, and only one of them can have it.
    for deployment in deployments:
        edit(alice, deployment, with_settings(quota_cpu="6"))
    start, outcomes = threading.Barrier(2), []

    def take(deployment: Deployment) -> None:
        start.wait()
        try:
            edit(alice, deployment, with_settings(quota_cpu="12"))
            outcomes.append("taken")
        except InvalidConfiguration:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=take, args=(one,)) for one in deployments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["refused", "taken"]


def test_every_deployment_that_a_change_reaches_is_named(
    distant: Make,
    alice: User,
    workspace: Workspace,
    client_of: Callable[..., Client],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apps.deployments.layering.views.MOST_SHOWN", 1)
    made = [distant(f"etl-{number}") for number in range(3)]
    address = reverse("deployments:workspace_settings", args=[workspace.slug])

    asked = client_of(alice).post(address, {"scheduler_size": "large"})

    check_page(asked.content.decode())
    assert "And 2 more" in text_of(asked)
    assert all(f"/d/{one.ref}/" in asked.content.decode() for one in made)
