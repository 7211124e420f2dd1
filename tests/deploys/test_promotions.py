"""Running in one Deployment what runs in another: asked for, approved, refused."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.audit.models import AuditEvent
from apps.clusters.connections import sealed as cluster_secrets
from apps.clusters.images import keep_project_image, project_image
from apps.clusters.models import Cluster, ProjectImage
from apps.core.errors import Conflict
from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.schema import Configuration, Variable
from apps.deployments.models import Deployment, Phase
from apps.deployments.reconciling.compiler import code_name, lock_name, runtime_spec
from apps.deployments.secrets import sealed
from apps.deploys.deliveries import cleanup, enforcement
from apps.deploys.deliveries.services import deliver, roll_back
from apps.deploys.models import Deploy, Promotion, PromotionState
from apps.deploys.promotion import conditions, copying, fitting, rules, services
from apps.deploys.promotion.comparing import difference
from apps.image_retention.usage import named_locks
from apps.organizations.models import Organization, Workspace
from apps.organizations.tokens.services import create_token
from tests.clusters.material import registered
from tests.conftest import make_user, put_role, role
from tests.core.pages import check_page
from tests.dataplane.project_images.servers import PASSWORD, REGISTRY, USER, running_registry
from tests.deploys.test_deploy_pages import DAG, settle
from tests.kubernetes.certificates import Authority

ClientOf = Callable[[User], Client]
SECRET = "hush-hush-value"


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


@pytest.fixture
def prod(deployment: Deployment) -> Deployment:
    return deployment


@pytest.fixture
def dev(make_deployment: Callable[..., Deployment], alice: User) -> Deployment:
    made = make_deployment(name="etl-dev", ref="etl-dev-1a2b")
    upload(alice, made)
    return made


@pytest.fixture
def dora(organization: Organization, workspace: Workspace) -> User:
    """May deploy to every Deployment of the workspace."""
    user = make_user("Dora")
    put_role(user, role("organization", "member"), organization)
    put_role(user, role("workspace", "author"), workspace)
    return user


def upload(actor: User, deployment: Deployment, code: bytes = DAG) -> Deploy:
    made = deliver(actor=actor, deployment=deployment, file_name="sales.py", chunks=[code]).deploy
    settle(deployment)
    deployment.refresh_from_db()
    return made


def ask(actor: User, dev: Deployment, prod: Deployment, **other: Any) -> Promotion:
    dev.refresh_from_db()
    prod.refresh_from_db()
    numbers = {"deploy_number": 1, "base_revision_number": prod.wanted.number}
    return services.promote(actor=actor, source=dev, target=prod, **numbers | other)


def approve(actor: User, promotion: Promotion, **other: Any) -> Promotion:
    wanted = Deployment.objects.get(pk=promotion.deployment_id).wanted
    numbers = {"base_revision_number": wanted.number, "now": timezone.now()}
    return services.approve(actor=actor, promotion=promotion, **numbers | other)


@pytest.fixture
def asked(alice: User, dev: Deployment, prod: Deployment) -> Promotion:
    rules.set_approval(actor=alice, deployment=prod, is_on=True)
    return ask(alice, dev, prod)


def test_what_runs_in_dev_runs_in_prod_unchanged(
    alice: User, dev: Deployment, prod: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    page = client.get(f"/d/{dev.ref}/deploys/compare/?to={prod.ref}").content.decode()
    check_page(page)
    assert "Promote to etl-prod" in page
    assert "sales.py" in page

    response = client.post(
        f"/d/{prod.ref}/deploys/promotions/",
        {"source": dev.ref, "deploy": 1, "base": prod.wanted.number, "description": "Q4"},
    )

    assert response["Location"].startswith(f"/d/{prod.ref}/operations/")
    made, origin = Deploy.objects.get(deployment=prod), Deploy.objects.get(deployment=dev)
    assert (made.digest, made.packages_digest, made.files) == (origin.digest, "", origin.files)
    assert (made.promoted_from, made.description, made.created_by) == (origin, "Q4", alice)
    prod.refresh_from_db()
    assert prod.wanted.code_digest == origin.digest
    assert "promoted by" in prod.wanted.reason
    assert AuditEvent.objects.filter(action="deployment.promoted").exists()
    detail = client.get(f"/d/{prod.ref}/deploys/{made.number}/").content.decode()
    check_page(detail)
    assert "Where it comes from" in detail
    assert "etl-dev, deploy 1" in detail


def test_another_person_approves(
    asked: Promotion, dora: User, dev: Deployment, prod: Deployment, client_of: ClientOf
) -> None:
    client, url = client_of(dora), f"/d/{prod.ref}/deploys/promotions/{asked.number}/"
    assert not Deploy.objects.filter(deployment=prod).exists()
    page = client.get(url).content.decode()
    check_page(page)
    assert "Approve and deploy" in page
    assert "Dora" in page
    assert "Waiting for approval" in client.get(f"/d/{prod.ref}/deploys/").content.decode()

    response = client.post(url, {"action": "approve", "base": prod.wanted.number})

    assert response["Location"].startswith(f"/d/{prod.ref}/operations/")
    asked.refresh_from_db()
    assert (asked.state, asked.decided_by) == (PromotionState.DEPLOYED, dora)
    prod.refresh_from_db()
    assert "approved by Dora" in prod.wanted.reason
    assert asked.deploy.created_by == asked.created_by
    closed = client.get(url).content.decode()
    check_page(closed)
    assert "Approve and deploy" not in closed
    assert "Approved" in client.get(f"/d/{prod.ref}/deploys/1/").content.decode()


def test_those_who_may_approve_are_told_by_mail(
    alice: User,
    bob: User,
    dora: User,
    dev: Deployment,
    prod: Deployment,
    mailoutbox: list[Any],
    django_capture_on_commit_callbacks: Any,
) -> None:
    rules.set_approval(actor=alice, deployment=prod, is_on=True)

    with django_capture_on_commit_callbacks(execute=True):
        asked = ask(alice, dev, prod, description="Orders by country")

    [mail] = [one for one in mailoutbox if "promotion" in one.subject]
    assert mail.recipients() == [dora.email]
    assert f"/d/{prod.ref}/deploys/promotions/{asked.number}/" in mail.body
    assert "Orders by country" in mail.body


def test_who_asked_and_whose_token_asked_cannot_approve(
    asked: Promotion, alice: User, prod: Deployment, dev: Deployment, client_of: ClientOf
) -> None:
    url = f"/d/{prod.ref}/deploys/promotions/{asked.number}/"
    page = client_of(alice).get(url).content.decode()
    assert "Approve and deploy" not in page

    response = client_of(alice).post(
        url, {"action": "approve", "base": prod.wanted.number}, follow=True
    )

    assert "another person has to approve it" in response.content.decode()
    operator = role("workspace", "operator")
    token, _ = create_token(
        actor=alice, on=prod.workspace, name="ci", role=operator, expires_at=None
    )
    robot = token.user
    Promotion.objects.update(created_by=robot)
    with pytest.raises(conditions.NotYours, match="another person"):
        approve(alice, asked)
    with pytest.raises(conditions.NotYours, match="a person has to"):
        approve(robot, asked)
    assert not Deploy.objects.filter(deployment=prod).exists()


def test_it_is_withdrawn_declined_or_expires_and_never_opens_again(
    asked: Promotion, alice: User, dora: User, dev: Deployment, prod: Deployment
) -> None:
    with pytest.raises(services.AlreadyAsked):
        ask(dora, dev, prod)
    services.decline(actor=alice, promotion=asked, now=timezone.now())
    asked.refresh_from_db()
    assert asked.state == PromotionState.WITHDRAWN
    with pytest.raises(services.PromotionClosed):
        approve(dora, asked)

    second = ask(alice, dev, prod)
    services.decline(actor=dora, promotion=second, now=timezone.now())
    second.refresh_from_db()
    assert second.state == PromotionState.DECLINED

    third, late = ask(alice, dev, prod), timezone.now() + services.MOST_AGE
    with pytest.raises(services.PromotionClosed):
        approve(dora, third, now=late)
    assert services.expire_old(now=late) == 1
    assert services.expire_old(now=late) == 0
    third.refresh_from_db()
    assert third.state == PromotionState.EXPIRED
    actions = AuditEvent.objects.filter(action__startswith="deployment.promotion")
    assert list(actions.order_by("pk").values_list("action", flat=True)) == [
        "deployment.promotion_requested",
        "deployment.promotion_withdrawn",
        "deployment.promotion_requested",
        "deployment.promotion_declined",
        "deployment.promotion_requested",
        "deployment.promotion_expired",
    ]


def test_a_right_that_was_taken_between_asking_and_approving_counts(
    asked: Promotion, alice: User, dora: User, dev: Deployment, prod: Deployment
) -> None:
    services.decline(actor=alice, promotion=asked, now=timezone.now())
    second = ask(dora, dev, prod)
    prod.workspace.grants.filter(user=dora).delete()

    with pytest.raises(Exception, match="Dora, who asked for this promotion, may no longer"):
        approve(alice, second)

    second.refresh_from_db()
    assert second.state == PromotionState.OPEN
    assert not Deploy.objects.filter(deployment=prod).exists()


def test_what_changed_since_it_was_seen_is_looked_at_again(
    asked: Promotion, alice: User, dora: User, dev: Deployment, prod: Deployment
) -> None:
    upload(alice, prod, DAG + b"# other\n")

    with pytest.raises(conditions.TargetChanged):
        approve(dora, asked, base_revision_number=1)
    upload(alice, dev, DAG + b"# new\n")
    with pytest.raises(services.SourceChanged):
        ask(alice, dev, prod)

    # What was asked for is what is deployed, not what runs in dev by now.
    done = approve(dora, asked)
    assert done.deploy.digest == Deploy.objects.get(deployment=dev, number=1).digest


def test_a_target_that_is_deleted_and_a_source_that_is_deleted(
    asked: Promotion, alice: User, dora: User, dev: Deployment, prod: Deployment
) -> None:
    Deployment.objects.filter(pk=prod.pk).update(phase=Phase.DELETING)
    with pytest.raises(Conflict, match="is being deleted"):
        approve(dora, asked)
    Deployment.objects.filter(pk=prod.pk).update(phase=Phase.ACTIVE)
    Deployment.objects.filter(pk=dev.pk).update(phase=Phase.DELETED)
    digest = Deploy.objects.get(deployment=dev).digest
    later = timezone.now() + timedelta(days=3)

    assert cleanup.remove_unused_archives(now=later) == 0
    assert default_storage.exists(code_name(digest))

    services.decline(actor=dora, promotion=asked, now=timezone.now())
    assert cleanup.remove_unused_archives(now=later) == 1


def test_bob_may_look_and_charlie_finds_nothing(
    asked: Promotion, bob: User, charlie: User, dev: Deployment, prod: Deployment, client_of: Any
) -> None:
    shown = f"/d/{prod.ref}/deploys/promotions/{asked.number}/"
    compare = f"/d/{dev.ref}/deploys/compare/?to={prod.ref}"
    page = client_of(bob).get(compare).content.decode()
    assert "Needs the role" in page
    assert "Needs the role" in client_of(bob).get(shown).content.decode()
    assert client_of(bob).post(shown, {"action": "approve"}).status_code == 403
    assert client_of(bob).post(f"/d/{prod.ref}/deploys/promotions/").status_code == 403
    for url in (shown, compare, f"/d/{prod.ref}/deploys/promotions/999/"):
        assert client_of(charlie).get(url).status_code == 404


def test_a_source_that_the_person_may_not_see_is_not_there(
    dev: Deployment, prod: Deployment, organization: Organization, client_of: ClientOf
) -> None:
    eve = make_user("Eve")
    put_role(eve, role("organization", "member"), organization)
    put_role(eve, role("workspace", "accessor"), prod.workspace)
    put_role(eve, role("deployment", "author"), prod)
    data = {"source": dev.ref, "deploy": 1, "base": prod.wanted.number}

    response = client_of(eve).post(f"/d/{prod.ref}/deploys/promotions/", data)
    page = client_of(eve).get(f"/d/{prod.ref}/deploys/compare/?to={dev.ref}").content.decode()

    assert response.status_code == 404
    assert dev.name not in page
    check_page(page)


def test_who_approves_without_seeing_the_source_sees_its_code_alone(
    asked: Promotion,
    dev: Deployment,
    prod: Deployment,
    organization: Organization,
    client_of: ClientOf,
) -> None:
    variables = [{"key": "DEV_ONLY", "value": SECRET, "secret_id": ""}]
    dev.revisions.filter(pk=dev.applied_id).update(
        config={**dev.applied.config, "variables": variables}
    )
    eve, dora = make_user("Eve"), make_user("Dora")
    for person in (eve, dora):
        put_role(person, role("organization", "member"), organization)
    put_role(eve, role("workspace", "accessor"), prod.workspace)
    put_role(eve, role("deployment", "author"), prod)
    put_role(dora, role("workspace", "author"), prod.workspace)
    url = f"/d/{prod.ref}/deploys/promotions/{asked.number}/"

    hers, doras = (client_of(one).get(url).content.decode() for one in (eve, dora))

    assert "sales.py" in hers
    assert "DEV_ONLY" not in hers
    assert f"/d/{dev.ref}/" not in hers
    assert "DEV_ONLY" in doras
    assert SECRET not in hers + doras


def test_enforcement_lets_in_what_a_pipeline_delivered_and_no_upload_by_hand(
    alice: User, dora: User, dev: Deployment, prod: Deployment
) -> None:
    enforcement.set_for_deployment(actor=alice, deployment=prod, is_on=True)

    with pytest.raises(enforcement.DeployedByAutomation):
        ask(dora, dev, prod)
    Deploy.objects.filter(deployment=dev).update(source=Deploy.Source.GIT)
    made = ask(dora, dev, prod)

    assert made.state == PromotionState.DEPLOYED


def test_packages_need_the_same_runtime(alice: User, dev: Deployment, prod: Deployment) -> None:
    digest = "ab" * 32
    Deploy.objects.filter(deployment=dev).update(packages_digest=digest)
    dev.revisions.filter(pk=dev.applied_id).update(
        packages_digest=digest, config={**dev.applied.config, "runtime": "3.3.1-1"}
    )

    with pytest.raises(fitting.DoesNotFit, match=r"chosen for runtime 3\.3\.1-1, and etl-prod"):
        ask(alice, dev, prod)


PACKAGES = hashlib.sha256(b"a==1").hexdigest()
SOURCE_IMAGE = f"dev.example.org/airflow@sha256:{'c' * 64}"


@pytest.fixture
def on_clusters(alice: User, dev: Deployment, prod: Deployment) -> tuple[Cluster, Cluster]:
    """What runs in dev has packages, which the registry of its cluster holds; prod is on another
    cluster.
    """
    organization = prod.workspace.organization
    clusters = tuple(
        registered(organization, name=name, registry_repository=f"{name}.example.org/airflow")
        for name in ("dev", "prod")
    )
    for deployment, cluster in zip((dev, prod), clusters, strict=True):
        Deployment.objects.filter(pk=deployment.pk).update(cluster=cluster)
    Deploy.objects.filter(deployment=dev).update(packages_digest=PACKAGES)
    dev.revisions.filter(pk=dev.applied_id).update(packages_digest=PACKAGES)
    default_storage.save(lock_name(PACKAGES), ContentFile(b"a==1"))
    keep_project_image(
        cluster=clusters[0],
        runtime_image=runtime_spec(prod.wanted.configuration).image,
        packages_digest=PACKAGES,
        image=SOURCE_IMAGE,
    )
    return clusters


def copy(promotion: Promotion, now: datetime | None = None) -> Promotion:
    copying.copy(promotion_id=promotion.pk, now=now or timezone.now())
    promotion.refresh_from_db()
    return promotion


def copied(plane: type[FakePlane]) -> list[str]:
    return [image for method, image in plane.store.calls if method == "copy_image"]


def on_other_cluster(prod: Deployment, packages: str = PACKAGES) -> str:
    """Return the image that prod's cluster has of the packages."""
    base = runtime_spec(prod.wanted.configuration).image
    return project_image(cluster=prod.cluster, runtime_image=base, packages_digest=packages)


def test_packages_are_copied_to_another_cluster_and_then_it_is_deployed(
    alice: User,
    dev: Deployment,
    prod: Deployment,
    on_clusters: Any,
    plane: type[FakePlane],
    client_of: ClientOf,
    django_capture_on_commit_callbacks: Any,
) -> None:
    client, prod = client_of(alice), Deployment.objects.get(pk=prod.pk)
    compared = client.get(f"/d/{dev.ref}/deploys/compare/?to={prod.ref}").content.decode()
    check_page(compared)
    assert "copied to the registry of prod first, with the same digest" in compared
    assert "its image is copied, with the same digest" in compared

    made = ask(alice, dev, prod)

    assert (made.state, Deploy.objects.filter(deployment=prod).count()) == ("copying", 0)
    url = f"/d/{prod.ref}/deploys/promotions/{made.number}/"
    page = client.get(url).content.decode()
    check_page(page)
    assert "every 2s" in page
    assert "Copying packages" in client.get(f"/d/{prod.ref}/deploys/").content.decode()
    with pytest.raises(services.AlreadyAsked, match="packages are being copied"):
        ask(alice, dev, prod)
    assert copying.due(now=timezone.now()) == [made.pk]

    copy(made)

    assert (made.state, copied(plane)) == ("deployed", [SOURCE_IMAGE])
    assert on_other_cluster(prod) == SOURCE_IMAGE
    assert made.deploy.packages_digest == PACKAGES
    prod.refresh_from_db()
    assert prod.wanted.packages_digest == PACKAGES
    done = client.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "every 2s" not in done
    assert "It became" in done
    # It is there now: the next one needs no copy, and a second run of the job does nothing.
    copy(made)
    assert len(copied(plane)) == 1
    assert Deploy.objects.filter(deployment=prod).count() == 1


def test_what_a_registry_hinders_is_tried_three_times_or_said_at_once(
    alice: User,
    dev: Deployment,
    prod: Deployment,
    on_clusters: Any,
    plane: type[FakePlane],
    client_of: ClientOf,
) -> None:
    away = "The registry of this cluster does not answer the portal."
    plane.store.fail("copy_image", Temporary(away), times=3)
    made, now = ask(alice, dev, prod), timezone.now()
    for minute in (0, 2):
        copy(made, now + timedelta(minutes=minute))
        assert (made.state, made.problem) == ("copying", away)
    assert copying.due(now=timezone.now()) == []
    url = f"/d/{prod.ref}/deploys/promotions/{made.number}/"
    assert away in client_of(alice).get(url).content.decode()

    copy(made, now + timedelta(minutes=4))

    assert (made.state, made.problem) == ("failed", away)
    page = client_of(alice).get(url).content.decode()
    check_page(page)
    assert "Nothing was deployed" in page
    assert f"/d/{dev.ref}/deploys/compare/?to={prod.ref}" in page
    assert AuditEvent.objects.filter(action="deployment.promotion_failed").count() == 1
    plane.store.fail("copy_image", Permanent("It has no room for the image."))
    second = copy(ask(alice, dev, prod))
    assert (second.state, second.problem) == ("failed", "It has no room for the image.")
    assert not Deploy.objects.filter(deployment=prod).exists()
    assert on_other_cluster(Deployment.objects.get(pk=prod.pk)) == ""
    assert copy(ask(alice, dev, prod)).state == "deployed"


def test_a_worker_that_is_killed_three_times_while_it_copies_gives_up(
    alice: User, dev: Deployment, prod: Deployment, on_clusters: Any
) -> None:
    made, now = ask(alice, dev, prod), timezone.now()
    for _ in range(copying.MOST_ATTEMPTS):
        assert copying._claim(made.pk, now) is not None
        assert copying._claim(made.pk, now) is None
        now += copying.LEASE + timedelta(seconds=1)

    assert copy(made, now).state == "failed"
    assert "interrupted three times" in made.problem


def test_while_packages_are_copied_target_and_rights_are_judged_again(
    alice: User, dora: User, dev: Deployment, prod: Deployment, on_clusters: Any
) -> None:
    rules.set_approval(actor=alice, deployment=prod, is_on=True)
    asked = ask(alice, dev, prod)
    approve(dora, asked)
    asked.refresh_from_db()
    assert (asked.state, asked.decided_by) == ("copying", dora)
    with pytest.raises(services.PromotionClosed):
        services.decline(actor=alice, promotion=asked, now=timezone.now())
    prod.workspace.grants.filter(user=dora).delete()
    assert copy(asked).problem.startswith("Dora, who let this promotion go on, may no longer")

    # The image came, and stays a week: the next one would find it.
    ProjectImage.objects.filter(cluster=on_clusters[1]).delete()
    put_role(dora, role("workspace", "author"), prod.workspace)
    second = approve(dora, ask(alice, dev, prod))
    upload(alice, Deployment.objects.get(pk=prod.pk), DAG + b"# meanwhile\n")
    assert "has changed since you compared" in copy(second).problem

    ProjectImage.objects.filter(cluster=on_clusters[1]).delete()
    third = approve(dora, ask(alice, dev, prod))
    assert copy(third).state == "deployed"
    assert "approved by Dora" in Deployment.objects.get(pk=prod.pk).wanted.reason


def test_what_cannot_be_copied_is_said_before_anything_is_asked_for(
    alice: User, dev: Deployment, prod: Deployment, on_clusters: tuple[Cluster, Cluster]
) -> None:
    ProjectImage.objects.update(packages_digest="0" * 64)
    with pytest.raises(fitting.DoesNotFit, match="not known any more, so it cannot be copied"):
        ask(alice, dev, prod)
    image = {"name": "r.example.org/a:1", "digest": f"sha256:{'d' * 64}"}
    versions = {"airflow_version": "3.3.2", "python_version": "", "secret_id": ""}
    prod.revisions.filter(pk=prod.wanted_id).update(
        config={**prod.wanted.config, "image": {**image, **versions}}
    )
    with pytest.raises(fitting.DoesNotFit, match=r"and etl-prod runs r\.example\.org/a@sha256"):
        ask(alice, dev, prod)
    assert not Promotion.objects.exists()


def test_what_runs_on_this_machine_gets_an_image_of_the_same_lock(
    alice: User,
    dev: Deployment,
    prod: Deployment,
    on_clusters: Any,
    plane: type[FakePlane],
    settings: Any,
) -> None:
    settings.AIRFLOW_SIGN_IN_PUBLIC_KEY = "a public key"
    local = Cluster.objects.get(kind=Cluster.Kind.LOCAL, organization=prod.workspace.organization)
    Deployment.objects.filter(pk=dev.pk).update(cluster=local)
    plane.store.image = SOURCE_IMAGE
    prod.airflow_secrets = sealed.new_airflow_secrets(deployment_id=prod.pk)
    prod.save(update_fields=["airflow_secrets"])

    made = copy(ask(alice, dev, prod))

    assert (made.state, made.problem) == ("deployed", "")
    assert ("install_packages", prod.ref) in plane.store.calls
    assert on_other_cluster(Deployment.objects.get(pk=prod.pk)) == SOURCE_IMAGE


def test_what_is_copied_ends_with_the_ways_into_the_account_that_asked_for_it(
    alice: User, dev: Deployment, prod: Deployment, on_clusters: Any, plane: type[FakePlane]
) -> None:
    made = ask(alice, dev, prod)

    earlier_access_ended.send(sender=User, user=alice)

    assert copy(made).state == PromotionState.WITHDRAWN
    assert copied(plane) == []
    assert not Deploy.objects.filter(deployment=prod).exists()


def test_a_promotion_keeps_the_image_that_it_is_to_copy(
    alice: User, dev: Deployment, prod: Deployment, on_clusters: tuple[Cluster, Cluster]
) -> None:
    made = ask(alice, dev, prod)
    Deployment.objects.filter(pk=dev.pk).update(phase=Phase.DELETED)
    assert named_locks(on_clusters[0]) == {PACKAGES}

    services.fail(promotion=made, problem="It has no room.")

    assert named_locks(on_clusters[0]) == set()


@pytest.mark.slow
@pytest.mark.skipif(REGISTRY is None, reason="docker-registry is not installed")
def test_between_two_real_registries_the_digest_is_the_same_and_no_secret_is_shown(
    alice: User,
    dev: Deployment,
    prod: Deployment,
    on_clusters: tuple[Cluster, Cluster],
    client_of: ClientOf,
    settings: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.CLUSTER_NETWORKS = ("127.0.0.0/8",)
    real = "apps.dataplane.kubernetes.plane.KubernetesPlane"
    with ExitStack() as stack:
        registries = []
        for cluster in on_clusters:
            name = cluster.name
            started = running_registry(tmp_path / name, Authority(name), "127.0.0.1")
            one = stack.enter_context(started)
            registries.append(one)
            cluster.registry_repository = f"{one.host}/{name}/airflow"
            cluster.registry_user, cluster.registry_ca = USER, one.authority.certificate
            cluster_secrets.seal(cluster, "registry_password", PASSWORD)
            cluster.connection_version += 1
            cluster.save()
        digest = registries[0].push_image("dev/airflow", "packages-1")
        image = f"{on_clusters[0].registry_repository}@{digest}"
        ProjectImage.objects.filter(cluster=on_clusters[0]).update(image=image)
        made = ask(alice, dev, prod)
        settings.DATA_PLANES = {**settings.DATA_PLANES, "kubernetes": real}

        copy(made)

        assert (made.state, made.problem) == ("deployed", "")
        assert registries[1].manifest("prod/airflow", digest)
        prod = Deployment.objects.get(pk=prod.pk)
        assert on_other_cluster(prod) == f"{on_clusters[1].registry_repository}@{digest}"
        page = client_of(alice).get(f"/d/{prod.ref}/deploys/promotions/{made.number}/").content
        events = str(list(AuditEvent.objects.values_list("changes", flat=True)))
        assert PASSWORD not in page.decode() + caplog.text + events


def test_pages_take_as_many_queries_for_two_files_as_for_a_thousand(
    alice: User, dev: Deployment, prod: Deployment, client_of: ClientOf
) -> None:
    client, url = client_of(alice), f"/d/{dev.ref}/deploys/compare/?to={prod.ref}"
    client.get(url)
    counts = []
    for number in (2, 1000):
        rows = [{"path": f"dags/{i}_<b>.py", "size": i, "sha256": str(i)} for i in range(number)]
        dags = [[f"d{i}", f"{i}.py", "@daily", i, ["o" * 90], ["t"]] for i in range(number)]
        Deploy.objects.filter(deployment=dev).update(files=rows, dags=dags)
        with CaptureQueriesContext(connection) as queries:
            page = client.get(url).content.decode()
        check_page(page)
        assert "<b>.py" not in page
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_settings_and_variables_are_compared_by_name_and_no_value_is_shown() -> None:
    queue = WorkerQueue(name="heavy", size="local", concurrency=4, min_workers=0, max_workers=2)
    basics: dict[str, Any] = {"description": "", "executor": "celery"}
    source = Configuration(
        **basics,
        runtime="3.3.2-1",
        queues=(queue,),
        variables=(Variable(key="A", value=SECRET), Variable(key="B", value="1")),
    )
    target = Configuration(**basics, runtime="3.3.1-1", variables=(Variable(key="B", value="2"),))
    deploy = Deploy(files=[{"path": "plugins/a.py", "size": 1, "sha256": "x"}], dags=None)

    found = difference(
        source=deploy, target=None, source_configuration=source, target_configuration=target
    )

    assert [one.label for one in found.settings] == ["Runtime", "Queue heavy"]
    assert (found.only_in_source, found.only_in_target) == (("A",), ())
    assert found.restarts
    assert not found.are_dags_known
    assert SECRET not in repr(found)


def test_the_chain_names_each_place_once(
    alice: User,
    bob: User,
    dev: Deployment,
    prod: Deployment,
    make_deployment: Callable[..., Deployment],
    client_of: ClientOf,
) -> None:
    stage = make_deployment(name="etl-stage", ref="etl-stage-9z9z")
    ask(alice, dev, stage)
    settle(stage)
    ask(alice, stage, prod)
    settle(prod)
    upload(alice, prod, DAG + b"# bad\n")
    roll_back(actor=alice, deployment=prod, deploy=prod.deploys.get(number=1))

    page = client_of(bob).get(f"/d/{prod.ref}/deploys/3/").content.decode()

    places = [f"{name}, deploy 1" for name in ("etl-prod", "etl-stage", "etl-dev")]
    assert [page.index(place) for place in places] == sorted(page.index(one) for one in places)


def test_the_rule_is_set_for_a_workspace_and_for_a_deployment(
    alice: User, bob: User, prod: Deployment, client_of: ClientOf
) -> None:
    client, slug = client_of(alice), prod.workspace.slug
    client.post(f"/w/{slug}/git/approval/", {"is_on": "on"})
    assert rules.needs_approval(prod)
    client.post(f"/d/{prod.ref}/deploys/approval/", {"approval": "off"})
    assert not rules.needs_approval(prod)
    client.post(f"/d/{prod.ref}/deploys/approval/", {"approval": "inherit"})
    assert rules.needs_approval(prod)

    assert client_of(bob).post(f"/d/{prod.ref}/deploys/approval/").status_code == 403
    assert AuditEvent.objects.filter(action__endswith=".approval_rule_changed").count() == 3
    page = client.get(f"/d/{prod.ref}/deploys/git/").content.decode()
    check_page(page)
    assert "As in the workspace: need approval" in page
