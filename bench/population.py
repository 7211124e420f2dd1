"""A portal with many people and Deployments, written straight into the tables."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone

from apps.access.models import Role
from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment, Health, Revision, RevisionState
from apps.deployments.reconciling.results import observed_json
from apps.organizations.models import (
    Organization,
    OrganizationGrant,
    Team,
    Workspace,
    WorkspaceGrant,
    WorkspaceTeamGrant,
)
from bench.settled_plane import SettledPlane

N_WORKSPACES, N_DEPLOYMENTS, N_USERS, N_TEAMS = 50, 1_000, 10_000, 1_001
PEOPLE_OF_A_TEAM = 20
WORKSPACES_OF_A_USER = 5
NOBODY_SIGNS_IN = "!"


@dataclass(frozen=True)
class Population:
    organization: Organization
    workspaces: list[Workspace]
    deployments: list[Deployment]
    users: list[User]
    teams: list[Team]

    @property
    def reader(self) -> User:
        """A person with roles on five workspaces, the first included, as all people there have."""
        return self.users[0]


def populate(
    *,
    n_workspaces: int = N_WORKSPACES,
    n_deployments: int = N_DEPLOYMENTS,
    n_users: int = N_USERS,
    n_teams: int = N_TEAMS,
    in_first_workspace: int = 100,
) -> Population:
    """Make an organization. Its first workspace holds `in_first_workspace` Deployments, and the
    others share the rest.
    """
    organization = Organization.objects.create(name="Nordhavn Logistics", slug="nordhavn")
    cluster = Cluster.objects.create(
        organization=organization, kind=Cluster.Kind.LOCAL, name="This machine"
    )
    workspaces = Workspace.objects.bulk_create(
        Workspace(organization=organization, name=f"Workspace {n}", slug=f"workspace-{n}")
        for n in range(n_workspaces)
    )
    users = User.objects.bulk_create(
        User(email=f"person{n}@example.org", name=f"Person {n}", password=NOBODY_SIGNS_IN)
        for n in range(n_users)
    )
    deployments = _deployments(cluster, workspaces, users[0], n_deployments, in_first_workspace)
    _grants(organization, workspaces, users)
    teams = _teams(organization, workspaces[0], users, n_teams)
    analyze()
    return Population(organization, workspaces, deployments, users, teams)


def add_grants_of_others(population: Population, *, on_deployments: int) -> None:
    """Give other people roles on single Deployments, up to this many rows in all.

    In SQL, because a million rows take minutes otherwise.
    """
    permission = Role.objects.get(scope="deployment", key="viewer").permission
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO deployments_deploymentgrant"
            " (user_id, content_object_id, permission_id, granted_at)"
            " SELECT u.id, d.id, %s, now() FROM accounts_user u, deployments_deployment d"
            " WHERE u.id <> %s ORDER BY u.id, d.id LIMIT %s ON CONFLICT DO NOTHING",
            [permission.pk, population.reader.pk, on_deployments],
        )
    analyze()


def add_team_grants_of_others(population: Population, *, on_deployments: int) -> None:
    """Give Teams that the reader is not in roles on single Deployments, up to this many rows."""
    permission = Role.objects.get(scope="deployment", key="viewer").permission
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO deployments_deploymentteamgrant"
            " (group_id, content_object_id, permission_id, granted_at)"
            " SELECT t.group_id, d.id, %s, now()"
            " FROM organizations_team t, deployments_deployment d"
            " WHERE t.id <> %s ORDER BY t.id, d.id LIMIT %s ON CONFLICT DO NOTHING",
            [permission.pk, population.teams[0].pk, on_deployments],
        )
    analyze()


def analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _deployments(
    cluster: Cluster, workspaces: list[Workspace], author: User, n: int, in_first: int
) -> list[Deployment]:
    now = timezone.now()
    seen = observed_json({}, SettledPlane().observe(ref="any"))
    rest = workspaces[1:] or workspaces
    deployments = Deployment.objects.bulk_create(
        Deployment(
            workspace=workspaces[0] if number < in_first else rest[number % len(rest)],
            cluster=cluster,
            ref=f"etl-{number}-b{number:04d}",
            name=f"etl-{number}",
            description=f"Loads orders of region {number} into the warehouse.",
            created_by=author,
            observation=seen | {"queues": [_queue_seen(one, number) for one in _queues(number)]},
            health=Health.HEALTHY,
            health_message="Airflow is healthy.",
            health_since=now - timedelta(hours=3),
            observed_at=now,
            next_reconcile_at=now + timedelta(days=1),
        )
        for number in range(n)
    )
    revisions = Revision.objects.bulk_create(
        Revision(
            deployment=deployment,
            number=1,
            config=_config(number),
            state=RevisionState.APPLIED,
            summary="Created",
            created_by=author,
            created_at=now - timedelta(hours=number % 500),
            applied_at=now,
        )
        for number, deployment in enumerate(deployments)
    )
    for deployment, revision in zip(deployments, revisions, strict=True):
        deployment.wanted = deployment.applied = revision
    Deployment.objects.bulk_update(deployments, ["wanted", "applied"], batch_size=500)
    return deployments


def _config(number: int) -> dict[str, Any]:
    return {
        "description": f"Loads orders of region {number} into the warehouse.",
        "runtime": "3.3.2-1",
        "executor": "celery",
        "queues": _queues(number),
        "variables": [],
    }


def _queues(number: int) -> list[dict[str, Any]]:
    """Give every third Deployment a second queue, and all of them different sizes."""
    sizes = {"default": 2 + number % 7} | ({"heavy": 1 + number % 4} if number % 3 == 0 else {})
    return [
        {"name": name, "size": "A5", "concurrency": 4, "min_workers": 1, "max_workers": most}
        for name, most in sizes.items()
    ]


def _queue_seen(queue: dict[str, Any], number: int) -> dict[str, Any]:
    ready = number % (queue["max_workers"] + 1)
    idle = {"workers_wanted": ready, "tasks_queued": 0, "tasks_running": 0}
    return {"name": queue["name"], "workers_ready": ready, **idle}


def _grants(organization: Organization, workspaces: list[Workspace], users: list[User]) -> None:
    member = Role.objects.get(scope="organization", key="member").permission
    OrganizationGrant.objects.bulk_create(
        (
            OrganizationGrant(user=user, content_object=organization, permission=member)
            for user in users
        ),
        batch_size=10_000,
    )
    author = Role.objects.get(scope="workspace", key="author").permission
    grants = [
        WorkspaceGrant(
            user=user,
            content_object=workspaces[(number + step) % len(workspaces)],
            permission=author,
        )
        for number, user in enumerate(users)
        for step in range(min(WORKSPACES_OF_A_USER, len(workspaces)))
    ]
    WorkspaceGrant.objects.bulk_create(grants, batch_size=10_000)


def _teams(
    organization: Organization, workspace: Workspace, users: list[User], n: int
) -> list[Team]:
    """Make Teams of other people; the first has the reader, and a role on the first workspace."""
    groups = Group.objects.bulk_create(Group(name=f"team:{number}") for number in range(n))
    teams = Team.objects.bulk_create(
        Team(organization=organization, name=f"Team {number}", group=group)
        for number, group in enumerate(groups)
    )
    memberships = User.groups.through
    memberships.objects.bulk_create(
        [
            memberships(user=users[person], group=group)
            for number, group in enumerate(groups)
            for person in _people_of(number, len(users))
        ],
        batch_size=10_000,
    )
    WorkspaceTeamGrant.objects.create(
        group=groups[0],
        content_object=workspace,
        permission=Role.objects.get(scope="workspace", key="author").permission,
    )
    return teams


def _people_of(team: int, n_users: int) -> set[int]:
    others = {
        1 + (team * PEOPLE_OF_A_TEAM + step) % (n_users - 1) for step in range(PEOPLE_OF_A_TEAM)
    }
    return others | {0} if team == 0 else others
