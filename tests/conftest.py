"""The cast and the stage. Alice owns the organization, Bob is a read-only member of the workspace,
Charlie owns another organization and must not learn that any of this exists.
"""

import gc
import itertools
import os
import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache, caches
from django.db import connection
from django.test import Client, TransactionTestCase
from django.test.client import store_rendered_templates
from django.utils import timezone
from xdist.scheduler import LoadFileScheduling

from apps.access.models import Role
from apps.access.scopes import grant_model
from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.local.home import Home
from apps.deployments.models import Deployment, Health, Revision, RevisionState
from apps.organizations.models import Organization, Workspace
from apps.organizations.roles.services import create_role
from tests import migrated
from tests.emptying import Emptying
from tests.services import IS_MIGRATED

_numbers = itertools.count(1)
PASSWORD = "correct horse battery"
PROJECT = Path(__file__).resolve().parents[1]
ON_A_NODE = PROJECT / "tests" / "cluster"
# What uses the control plane there is slow without saying so (`tests/kubernetes/conftest.py`).
MARKS_ITSELF = PROJECT / "tests" / "kubernetes"
WHOLLY_SLOW = re.compile(r"^pytestmark = (?:|\[[^\]]*)pytest\.mark\.slow\b", re.MULTILINE)
LONGEST_FIRST = (
    "test_small_airflow",
    "test_local_airflow",
    "test_journey",
    "test_machine_launcher",
    "test_silent_broker",
    "test_pages_in_browser",
    "test_full_queue",
    "test_real_workers",
    "test_loop",
)
CONFIG: dict[str, Any] = {
    "description": "",
    "runtime": "3.3.2-1",
    "executor": "celery",
    "queues": [
        {"name": "default", "size": "local", "concurrency": 4, "min_workers": 1, "max_workers": 2},
    ],
    "variables": [],
}


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Keep the schema for the next run, and let tests with real commits empty the tables after
    themselves, those of the audit log too.
    """
    if not os.environ[IS_MIGRATED] and os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0":
        migrated.keep(Home(Path(os.environ["PORTAL_HOME"])), settings.DATABASES["default"]["NAME"])
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for table in ("audit_auditevent", "audit_auditchain"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER audit_refuse_truncate")
        emptying = Emptying(flush=TransactionTestCase._fixture_teardown)
    TransactionTestCase._fixture_teardown = lambda case: emptying.empty(case)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import, for the fast tests, modules that say they are slow as a whole; for the
    slow ones, modules that name no slow test: it takes twenty seconds of a processor, four times.
    """
    which = config.getoption("markexpr")
    if which in ("slow", "slow or cluster"):
        return (collection_path.name.startswith("test_") and not _has_slow(collection_path)) or None
    return _is_slow(collection_path) or None if which == "not slow" else None


def _has_slow(module: Path) -> bool:
    """Return whether a module names a slow test, or a fixture that makes one slow."""
    return MARKS_ITSELF in module.parents or "pytest.mark.slow" in module.read_text()


def _is_slow(path: Path) -> bool:
    if path.is_dir():
        modules = list(path.rglob("test_*.py"))
        return bool(modules) and all(_is_slow(module) for module in modules)
    return path.name.startswith("test_") and bool(WHOLLY_SLOW.search(path.read_text()))


@pytest.fixture(scope="session", autouse=True)
def _one_context() -> Iterator[None]:
    """Keep of a response the context of the page: Django's client copies that of every widget."""

    def store(stored: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if "context" not in stored:
            store_rendered_templates(stored, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.test.client.store_rendered_templates", store)
        yield


@pytest.fixture(scope="session", autouse=True)
def _small_collections() -> None:
    """Do not look at what imports made when cycles are looked for (`tests/settings.py`)."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that it does not run alone at the end: first the tests on a
    node, in the order in which they are written, then the longest files.
    """
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}

    def place_of(item: pytest.Item) -> tuple[int, str, int]:
        if item.path.parent == ON_A_NODE:
            return (-1, item.path.name, item.location[1] or 0)
        return (places.get(item.path.stem, len(places)), "", 0)

    items.sort(key=place_of)


class LoadFiles(LoadFileScheduling):
    """A file at a time, as `--dist loadfile`. There is one node: its tests are one file."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return str(Path(file).parent) if (PROJECT / file).parent == ON_A_NODE else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFiles | None:
    return LoadFiles(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def _empty_cache(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "db" in request.fixturenames:
        cache.clear()
        caches["process"].clear()


@pytest.fixture
def plane() -> type[FakePlane]:
    FakePlane.store.reset()
    return FakePlane


def make_user(name: str, **fields: Any) -> User:
    return User.objects.create_user(f"{name.lower()}@example.org", PASSWORD, name=name, **fields)


def role(scope: str, key: str) -> Role:
    return Role.objects.select_related("permission__content_type").get(scope=scope, key=key)


def custom_role(
    name: str,
    permissions: Collection[str],
    *,
    organization: Organization,
    actor: User,
    scope: str = "organization",
) -> Role:
    """Create a role of an organization that may be given in all of its workspaces."""
    return create_role(
        actor=actor,
        organization=organization,
        scope=scope,
        name=name,
        description="",
        permissions=permissions,
        is_limited=False,
        workspaces=[],
    )


def put_role(user: User, role: Role, on: Any) -> None:
    """Write a grant as it is at rest. `grant` also locks, checks and records: ten statements, which
    most tests of this suite would wait for.
    """
    grant_model(type(on)).objects.create(user=user, permission=role.permission, content_object=on)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def new_deployment(*, workspace: Workspace, cluster: Cluster, **overrides: Any) -> Deployment:
    """Make a Deployment at rest: revision 1 applied, healthy. Overrides go to the row; `config` to
    the revision.
    """
    number = next(_numbers)
    config = {**CONFIG, **overrides.pop("config", {})}
    fields: dict[str, Any] = {
        "workspace": workspace,
        "cluster": cluster,
        "name": f"etl-{number}",
        "ref": f"etl-{number}-t{number:03d}",
        "health": Health.HEALTHY,
        "observed_at": timezone.now(),
    }
    deployment = Deployment.objects.create(**{**fields, **overrides})
    revision = Revision.objects.create(
        deployment=deployment,
        number=1,
        config=config,
        state=RevisionState.APPLIED,
        summary="Created",
        applied_at=timezone.now(),
    )
    deployment.wanted = deployment.applied = revision
    deployment.save(update_fields=["wanted", "applied"])
    return deployment


@pytest.fixture
def organization(db: None) -> Organization:
    return Organization.objects.create(name="Nordhavn Logistics", slug="nordhavn")


@pytest.fixture
def workspace(organization: Organization) -> Workspace:
    return Workspace.objects.create(organization=organization, name="Warehouse", slug="warehouse")


@pytest.fixture
def cluster(organization: Organization) -> Cluster:
    return Cluster.objects.create(
        organization=organization, kind=Cluster.Kind.LOCAL, name="This machine"
    )


@pytest.fixture
def alice(organization: Organization) -> User:
    user = make_user("Alice")
    put_role(user, role("organization", "owner"), organization)
    return user


@pytest.fixture
def bob(organization: Organization, workspace: Workspace) -> User:
    user = make_user("Bob")
    put_role(user, role("organization", "member"), organization)
    put_role(user, role("workspace", "member"), workspace)
    return user


@pytest.fixture
def charlie(db: None) -> User:
    user = make_user("Charlie")
    elsewhere = Organization.objects.create(name="Elsewhere", slug="elsewhere")
    Workspace.objects.create(organization=elsewhere, name="Other", slug="other")
    put_role(user, role("organization", "owner"), elsewhere)
    return user


@pytest.fixture
def identity_manager(organization: Organization, alice: User) -> User:
    """May set up single sign-on and provisioning, and nothing else that members may not."""
    permissions = frozenset({"organization.view", "organization.sso.manage"})
    made = custom_role("Identity", permissions, organization=organization, actor=alice)
    user = make_user("Ivan")
    put_role(user, made, organization)
    return user


@pytest.fixture
def client_of() -> Callable[[User], Client]:
    return signed_in


@pytest.fixture
def make_deployment(
    workspace: Workspace, cluster: Cluster, plane: type[FakePlane]
) -> Callable[..., Deployment]:
    return partial(new_deployment, workspace=workspace, cluster=cluster)


@pytest.fixture
def deployment(make_deployment: Callable[..., Deployment]) -> Deployment:
    return make_deployment(name="etl-prod", ref="etl-prod-7f3c")
