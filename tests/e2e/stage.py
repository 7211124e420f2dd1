"""Rows for every page: a Deployment with a past, one that failed, one at work, a draft, a mail."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from allauth.socialaccount.models import SocialAccount
from django.utils import timezone

from apps.access.grants.services import grant
from apps.access.models import Role
from apps.accounts.models import OutgoingMail, User
from apps.clusters.models import Cluster
from apps.deployments.models import (
    Deployment,
    Draft,
    Health,
    Operation,
    OperationState,
    OperationStep,
    Revision,
    RevisionState,
)
from apps.deploys.git.services import connect_repository, rotate_webhook_secret
from apps.deploys.models import Deploy, GitRepository, GitSource, Preview, PreviewState, Promotion
from apps.deploys.promotion import rules
from apps.observability.incidents.models import Incident
from apps.organizations.models import ApiToken, Invitation, Team
from apps.organizations.roles.services import create_role
from apps.organizations.teams.services import add_to_team, assign_team_role, create_team
from apps.organizations.tokens.services import create_token
from apps.package_indexes.services import IndexData, add_index
from apps.sso.models import Domain, ScimToken, SSOConnection
from apps.sso.scim.tokens import create_scim_token
from tests.clusters.material import registered
from tests.conftest import CONFIG
from tests.e2e.alerts_on_stage import Alerts, alerts_on_stage
from tests.e2e.backups_on_stage import backups_on_stage, releases_on_stage
from tests.e2e.bulk_actions_on_stage import bulk_actions_on_stage
from tests.e2e.dags_on_stage import put_dags
from tests.e2e.environment_on_stage import environment_on_stage
from tests.e2e.imports_on_stage import imports_on_stage
from tests.e2e.status_on_stage import Status, status_on_stage
from tests.observability.incidents import make_incident
from tests.sso.identity_provider import make_signer

AUTHOR = "Maximiliane Alexandra Freifrau von und zu Hohenlohe-Waldenburg-Schillingsfürst"
LONG = "a-very-long-name-that-nobody-would-type-but-somebody-did-once"
FILES = [
    {"path": "dags/orders.py", "size": 1834, "sha256": "a" * 64},
    {
        "path": "dags/sql/load_orders_into_the_warehouse_by_country.sql",
        "size": 312,
        "sha256": "b" * 64,
    },
]
CHECK: dict[str, Any] = {
    "is_usable": False,
    "version": "v1.37.2",
    "latency_ms": 38,
    "storage_classes": ["standard", LONG],
    "findings": [
        {"title": "Version", "is_ok": True, "detail": "Kubernetes v1.37.2.", "remedy": ""},
        {
            "title": "KEDA",
            "is_ok": False,
            "detail": "The cluster has no KEDA.",
            "remedy": "Install KEDA, then test again.",
        },
    ],
    "permissions": [
        {"what": "pods", "verbs": ["get", "list", "watch"], "missing": [], "why": "Health"},
        {
            "what": "rolebindings.rbac.authorization.k8s.io",
            "verbs": ["get", "list", "watch", "create", "patch", "delete"],
            "missing": ["create", "patch"],
            "why": "Permissions of Airflow within its own namespace",
        },
    ],
}
STORAGE_TEST: dict[str, Any] = {
    "asked_at": "2026-11-22T12:00:00+00:00",
    "ended_at": "2026-11-22T12:00:14+00:00",
    "findings": [
        {
            "title": "Storage of logs and code",
            "is_ok": False,
            "detail": f"Nothing could be written to a volume of {LONG} (ReadWriteMany) in 120 s. "
            "The volume cannot be created: rpc error: code = InvalidArgument desc = Capabilities "
            "MULTI_NODE_MULTI_WRITER not supported. Only AccessModes[ReadWriteOnce] supported.",
            "remedy": "Choose a storage class that offers ReadWriteMany, in the settings.",
        },
        {
            "title": "Storage of databases",
            "is_ok": True,
            "detail": "A pod wrote, read and deleted a file on a volume of the default class "
            "(ReadWriteOnce), after 9 s.",
            "remedy": "",
        },
    ],
}
TRACEBACK = """Traceback (most recent call last):
  File "/opt/airflow/dags/etl/orders.py", line 12, in <module>
    import pandas
ModuleNotFoundError: No module named 'pandas'"""
COMPONENT = {"state": "running", "ready": 1, "wanted": 1, "memory_bytes": 210_000_000}
QUEUE = {"workers_ready": 1, "workers_wanted": 3, "tasks_queued": 31, "tasks_running": 4}
OBSERVATION: dict[str, Any] = {
    "observed_at": "2026-11-22T10:00:00+00:00",
    "exists": True,
    "applied_revision": 2,
    "health": "healthy",
    "message": "Airflow is healthy.",
    "components": [
        {"name": "api-server", **COMPONENT},
        {"name": "scheduler", **COMPONENT, "heartbeat_at": "2026-11-22T09:59:50+00:00"},
        {"name": "worker default", **COMPONENT, "state": "crashing", "ready": 0, "restarts": 3},
    ],
    "queues": [{"name": "default", **QUEUE}],
    "import_errors": 3,
    "import_failures": [
        {
            "file": "etl/orders.py",
            "line": 12,
            "message": "ModuleNotFoundError: No module named 'pandas'",
            "traceback": TRACEBACK,
            "at": "2026-11-22T09:58:00+00:00",
        },
        {
            "file": "etl/" + "a_very_long_folder_name/" * 6 + "returns.py",
            "line": 1,
            "message": "SyntaxError: invalid syntax",
            "traceback": "SyntaxError: " + "x" * 400,
            "at": None,
        },
    ],
    "is_drifted": True,
    "drift": [
        {
            "object": "Deployment/scheduler",
            "fields": ["spec.replicas", "spec.template.spec.containers[scheduler].image", "env[X]"],
            "values": {
                "spec.replicas": ["1", "3"],
                "spec.template.spec.containers[scheduler].image": [
                    "registry.example.org/airflow:3.3.2-1@sha256:" + "a" * 64,
                    "registry.example.org/airflow:3.2.2-9@sha256:" + "b" * 64,
                ],
            },
        },
        {"object": "Service/api-server", "fields": [], "is_gone": True},
    ],
    "ui_url": "http://localhost:8081/etl-prod-7f3c/",
    "api_url": "http://localhost:8081/etl-prod-7f3c/api/v2",
}


GIT = {
    "source": Deploy.Source.GIT,
    "git_repository": f"git.example.org:2222/{LONG}/dags",
    "git_branch": f"feature/{LONG}",
    "git_path": f"{LONG}/dags",
    "git_commit": "c0ffee" * 6 + "0000",
    "git_author": LONG,
    "git_message": f"Orders by country, {LONG}",
    "git_url": "https://git.example.org/acme/dags/commit/c0ffee",
}


@dataclass(frozen=True)
class Stage:
    settled: Deployment
    failed: Deployment
    busy: Deployment
    deleted: Deployment
    draft: Draft
    edit: Draft
    operation: Operation
    failure: Operation
    running: Operation
    deploy: Deploy
    previews: list[Preview]
    promotions: list[Promotion]
    invitation: Invitation
    remote: Cluster
    away: Cluster
    domain: Domain
    connection: SSOConnection
    team: Team
    role: Role
    token: ApiToken
    scim_token: ScimToken
    incidents: list[Incident]
    repository: GitRepository
    backups: list[UUID]
    imports: list[UUID]
    alerts: Alerts
    environment: dict[str, int]
    bulk_actions: dict[str, int]
    status: Status
    package_indexes: list[int]


def build(*, author: User, workspace: Any, cluster: Any, make_deployment: Any) -> Stage:
    # Who drafts is signed in; what is applied was written by a person with a long name.
    person, author = author, User.objects.create_user(f"{LONG}@example.org", name=AUTHOR)
    settled = make_deployment(name="etl-prod", ref="etl-prod-7f3c", created_by=author)
    first = settled.applied
    second = _revision(settled, 2, RevisionState.APPLIED, author, max_workers=6)
    Deployment.objects.filter(pk=settled.pk).update(
        wanted=second,
        applied=second,
        description="Orders, stock and returns. " * 6,
        health_message="Airflow is healthy.",
        health_since=timezone.now() - timedelta(hours=3),
        observation=OBSERVATION,
    )
    failed = make_deployment(name=LONG[:60], ref="long-0001", health=Health.UNHEALTHY)
    bad = _revision(failed, 2, RevisionState.FAILED, author, max_workers=3)
    Deployment.objects.filter(pk=failed.pk).update(
        wanted=bad, health_message="The scheduler has sent no heartbeat for 90 seconds."
    )
    busy = make_deployment(name="reports", ref="reports-22aa", health=Health.STARTING)
    coming = _revision(busy, 2, RevisionState.APPLYING, author, max_workers=4)
    Deployment.objects.filter(pk=busy.pk).update(wanted=coming)
    deleted = make_deployment(
        name="gone", ref="gone-9999", phase="deleted", deleted_at=timezone.now()
    )
    put_dags(settled)
    releases_on_stage()
    return Stage(
        settled=settled,
        failed=failed,
        busy=busy,
        deleted=deleted,
        draft=Draft.objects.create(
            workspace=workspace, cluster=cluster, name="nightly", author=person, config=CONFIG
        ),
        edit=Draft.objects.create(
            workspace=workspace,
            cluster=cluster,
            deployment=settled,
            base=second,
            author=person,
            config=second.config | {"queues": first.config["queues"]},
        ),
        operation=_operation(settled, second, author, OperationState.SUCCEEDED),
        failure=_operation(failed, bad, author, OperationState.FAILED),
        running=_operation(busy, coming, author, OperationState.RUNNING),
        deploy=_deploys(settled, author),
        previews=_previews(settled, author),
        promotions=_promotions(settled, busy, author),
        invitation=_invitation(workspace, person),
        remote=registered(
            workspace.organization,
            name=LONG[:60],
            server=f"https://{LONG}.example.org:6443",
            check_result=CHECK,
            storage_test=STORAGE_TEST,
            credential_expires_at=timezone.now() + timedelta(days=5),
            ca_expires_at=timezone.now() + timedelta(days=9),
        ),
        away=registered(
            workspace.organization,
            name="us-2",
            unreachable_since=timezone.now() - timedelta(minutes=40),
            last_error="Nobody answers at us-2.example.org: the connection was refused.",
        ),
        domain=Domain.objects.create(
            organization=workspace.organization, name=f"{LONG}.example", token="t" * 32
        ),
        connection=_connection(workspace.organization, person),
        team=_team(workspace, person),
        role=_role(workspace, person),
        token=_token(workspace, person),
        scim_token=_scim_token(workspace.organization, person),
        incidents=_incidents(settled, author),
        repository=_repository(workspace, person, settled),
        package_indexes=[
            _package_index(person, place) for place in (workspace.organization, workspace, settled)
        ],
        backups=backups_on_stage(settled, author),
        imports=imports_on_stage(settled, author),
        alerts=alerts_on_stage(deployment=settled, author=author),
        environment=environment_on_stage(deployment=settled, author=author),
        bulk_actions=bulk_actions_on_stage(workspace=workspace, author=person),
        status=status_on_stage(deployment=settled),
    )


def _incidents(deployment: Deployment, author: User) -> list[Incident]:
    """One that is acknowledged and silenced, a critical one, one that is over."""
    long = f"dags/{LONG}/{LONG}.py"
    evidence = {
        "facts": [["Code since", "revision 4"], ["Where", long]],
        "columns": ["File", "Line", "Error"],
        "rows": [
            [long, str(line), "ModuleNotFoundError: No module named 'pandas'"] for line in (3, 9)
        ],
        "rows_in_all": 40,
        "excerpt": "Traceback (most recent call last):\n  File x\n" * 4,
    }
    now = timezone.now()
    return [
        make_incident(
            deployment,
            subject=long[:120],
            title=f"40 DAG files cannot be imported, such as {LONG}",
            summary=f"{long}: No module named 'pandas'",
            evidence=evidence,
            acknowledged_by=author,
            acknowledged_at=now,
            silenced_by=author,
            silenced_at=now,
        ),
        make_incident(
            deployment,
            kind="crash-loop",
            subject="scheduler",
            title="The scheduler crashes again and again",
        ),
        make_incident(deployment, kind="drift", evidence={}, closed_at=now),
    ]


def _connection(organization: Any, person: User) -> SSOConnection:
    SocialAccount.objects.create(user=person, provider="nordhavn-1", uid=LONG)
    result = {
        "is_ok": False,
        "message": "No email address was sent.",
        "subject": LONG,
        "email": "",
    }
    return SSOConnection.objects.create(
        organization=organization,
        key="nordhavn-1",
        protocol="saml",
        name=LONG[:60],
        config={
            "entity_id": f"https://{LONG}.example/metadata",
            "sso_url": f"https://{LONG}.example/sso",
            "certificates": [make_signer().certificate],
        },
        test_result=result | {"name": "", "groups": ["data-eng", LONG]},
    )


def _scim_token(organization: Any, author: User) -> ScimToken:
    create_scim_token(actor=author, organization=organization, name=LONG[:60])
    return ScimToken.objects.get()


def _token(workspace: Any, author: User) -> ApiToken:
    role = Role.objects.get(scope="workspace", key="author")
    in_a_week = timezone.now() + timedelta(days=7)
    token, _ = create_token(
        actor=author, on=workspace, name="CI " + LONG, role=role, expires_at=in_a_week
    )
    return token


def _role(workspace: Any, author: User) -> Role:
    role = create_role(
        actor=author,
        organization=workspace.organization,
        scope="workspace",
        name="Releases " + LONG,
        description=LONG,
        permissions=["deployment.view", "deployment.deploys.view", "deployment.deploys.create"],
        is_limited=True,
        workspaces=[workspace],
    )
    grant(actor=author, user=author, role=role, on=workspace)
    return role


def _team(workspace: Any, author: User) -> Team:
    team = create_team(
        actor=author, organization=workspace.organization, name="Data " + LONG, description=LONG
    )
    add_to_team(actor=author, team=team, user=author)
    role = Role.objects.get(scope="workspace", key="author")
    in_a_week = timezone.now() + timedelta(days=7)
    assign_team_role(actor=author, team=team, role=role, on=workspace, expires_at=in_a_week)
    return team


def _revision(
    deployment: Deployment, number: int, state: str, author: User, *, max_workers: int
) -> Revision:
    queue = CONFIG["queues"][0] | {"max_workers": max_workers}
    variables = [
        {"key": "ORDERS_BUCKET", "value": "s3://orders-" + "x" * 120, "secret_id": ""},
        {"key": "SMTP_HOST", "value": "mail.example.org", "secret_id": ""},
    ]
    return Revision.objects.create(
        deployment=deployment,
        number=number,
        config=CONFIG | {"queues": [queue], "variables": variables},
        state=state,
        summary=f"Workers of default: at most {max_workers}",
        reason="The month ends.",
        created_by=author,
        applied_at=timezone.now() if state == RevisionState.APPLIED else None,
        failure="" if state != RevisionState.FAILED else "The scheduler ended again and again.",
    )


def _operation(deployment: Deployment, revision: Revision, author: User, state: str) -> Operation:
    is_over, is_bad = state != OperationState.RUNNING, state == OperationState.FAILED
    now = timezone.now()
    operation = Operation.objects.create(
        deployment=deployment,
        number=1,
        kind=Operation.Kind.UPDATE,
        title=f"Apply revision {revision.number} to {deployment.name}",
        revision=revision,
        state=state,
        failure="The scheduler ended again and again." if is_bad else "",
        failed_component="scheduler" if is_bad else "",
        actor=author,
        started_at=now - timedelta(seconds=40),
        ended_at=now if is_over else None,
    )
    states = ["done", "done", "failed" if is_bad else "done" if is_over else "running", "waiting"]
    titles = [
        "Deploy the code",
        "Write the configuration",
        "Start the scheduler",
        "Wait for Airflow",
    ]
    for position, (title, step) in enumerate(zip(titles, states, strict=True)):
        OperationStep.objects.create(
            operation=operation,
            position=position,
            key=f"step-{position}",
            title=title,
            state="done" if state == OperationState.SUCCEEDED else step,
            log="ModuleNotFoundError: No module named 'pandas'\n" * 5 if step == "failed" else "",
            started_at=now - timedelta(seconds=30),
            ended_at=now if step in ("done", "failed") else None,
        )
    return operation


def _deploys(deployment: Deployment, author: User) -> Deploy:
    made = []
    for number, digest in ((1, "c" * 64), (2, "d" * 64)):
        revision = Revision.objects.create(
            deployment=deployment,
            number=number + 2,
            config=CONFIG,
            code_digest=digest,
            state=RevisionState.APPLIED,
            summary=f"Deploy {number}",
            created_by=author,
        )
        made.append(
            Deploy.objects.create(
                deployment=deployment,
                number=number,
                revision=revision,
                digest=digest,
                file_name="dags.zip",
                size_bytes=2146,
                n_files=number,
                files=FILES[:number],
                description="Orders by country.",
                created_by=author if number == 1 else None,
                **({} if number == 1 else GIT),
            )
        )
    return made[-1]


def _promotions(source: Deployment, target: Deployment, author: User) -> list[Promotion]:
    """Make one that waits for approval, one that was declined, and one that failed."""
    deploy = source.deploys.order_by("-number").first()
    common = {
        "deployment": target,
        "source": deploy,
        "source_name": source.name,
        "description": "Orders by country, for the quarter. " * 5,
        "created_by": author,
        "expires_at": timezone.now() + timedelta(days=6),
    }
    rules.set_approval(actor=author, deployment=target, is_on=True)
    declined = {"state": "declined", "decided_by": author, "decided_at": timezone.now()}
    problem = f"The registry of this cluster failed. It answers with status 500. {LONG}"
    return [
        Promotion.objects.create(number=1, **common),
        Promotion.objects.create(number=2, **common | declined),
        Promotion.objects.create(
            number=3, **common | declined | {"state": "failed", "problem": problem}
        ),
    ]


def _package_index(actor: User, place: Any) -> int:
    """Name an index with a password and long names; return its number."""
    data = IndexData(
        name=f"packages-{LONG}"[:60],
        url=f"https://packages.example.org/{LONG}/simple",
        username="reader-of-packages@example.org",
        password="not shown",
    )
    return add_index(actor=actor, place=place, data=data).pk


def _repository(workspace: Any, person: User, deployment: Deployment) -> GitRepository:
    """Connect one by https, and one by ssh that fails and that a Deployment follows."""
    connect_repository(actor=person, workspace=workspace, url="https://github.com/acme/dags.git")
    made = connect_repository(
        actor=person, workspace=workspace, url=f"ssh://git@git.example.org:2222/{LONG}/dags.git"
    )
    rotate_webhook_secret(actor=person, repository=made)
    GitRepository.objects.filter(pk=made.pk).update(
        host_key=f"ssh-ed25519 {'A' * 68}",
        polled_at=timezone.now() - timedelta(minutes=3),
        failures=2,
        last_error="The git server does not answer. The portal tries again later.",
    )
    GitSource.objects.create(
        deployment=deployment,
        repository=made,
        branch=f"feature/{LONG}",
        path=f"{LONG}/dags",
        set_by=person,
        commit="c0ffee" * 6 + "0000",
        last_error="Commit c0ffeec was not deployed. orders.py, line 3: invalid syntax.",
    )
    return made


def _invitation(workspace: Any, author: User) -> Invitation:
    OutgoingMail.objects.create(to="eve@example.org", subject="Come in", body="Here is the link.")
    return Invitation.objects.create(
        organization=workspace.organization,
        workspace=workspace,
        email="eve@example.org",
        workspace_role="author",
        token_digest="e" * 64,
        invited_by=author,
        expires_at=timezone.now() + timedelta(days=7),
    )


def _previews(deployment: Deployment, author: User) -> list[Preview]:
    """Make a preview of each state in which its page differs, with long names and many rows."""
    common = {
        "deployment": deployment,
        "file_name": "warehouse-analytics-and-customs-clearance.tar.gz",
        "description": "Clear customs before loading",
        "digest": "0" * 64,
        "size_bytes": 3_100_000,
        "kind": "project",
        "created_by": author,
        "base": deployment.wanted,
        "runtime": "3.3.2-1",
    }
    dags = [
        [f"customs_clearance_{number}", "customs.py", "0 5 * * *", 14, ["etl"], ["eu", "daily"]]
        for number in range(40)
    ]
    gone = ["sftp_out", "sftp.py", "*/30 * * * *", 4, ["etl"], []]
    ready = {
        "state": PreviewState.READY,
        "notes": [".env was left out: variables are set in the Deployment's configuration."],
        "packages": [
            ["pandera", "0.26.1", 900_000],
            ["apache-airflow-providers-snowflake", "6.7", 1],
        ],
        "dags": [*dags, ["d" * 200, "long.py", "@continuous", 1, ["o" * 90], ["t" * 90]]],
        "errors": [
            ["returns_score.py", 23, "ImportError: cannot import name", "Traceback\n  x", False],
            ["rates.py", 1, "Variable rates not found", "Traceback\n  y", True],
        ],
        "before": {
            "dags": [gone, [*dags[0][:2], "@hourly", 9, *dags[0][4:]]],
            "running": {"sftp_out": 1},
        },
        "packages_digest": "1" * 64,
        "took_seconds": 12.5,
    }
    rows: list[dict[str, Any]] = [
        {"state": PreviewState.CHECKING, "step": "install"},
        {
            "state": PreviewState.FAILED,
            "step": "packages",
            "problem": "The package index has no package called " + "p" * 150 + ".",
            "log": ["Traceback (most recent call last):", "  x" * 80],
        },
        ready,
    ]
    return [
        Preview.objects.create(number=number, **common, **row)
        for number, row in enumerate(rows, start=1)
    ]
