"""Every write to a Deployment: one transaction and one audit event each."""

from typing import Any

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.core.errors import Conflict, Invalid
from apps.deployments.configuration import Configuration
from apps.deployments.models import Deployment, Draft, Operation, Revision, SecretValue
from apps.deployments.validation import Problem
from apps.organizations.models import Workspace


class StaleBase(Conflict):
    """Somebody saved first. `current` is the revision in force now."""

    def __init__(self, *, current: Revision) -> None:
        super().__init__(
            f"Somebody saved first: revision {current.number} is newer than the one you edited."
        )
        self.current = current


class InvalidConfiguration(Invalid):
    """Carries every broken rule; `field` and the sentence are those of the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems[0].sentence, field=problems[0].field)
        self.problems = tuple(problems)


def create_deployment(
    *,
    actor: User,
    workspace: Workspace,
    cluster: Cluster,
    name: str,
    configuration: Configuration,
    reason: str = "",
) -> Operation:
    """Create a Deployment with its first revision. Raises Invalid (field "name" when taken)."""
    raise NotImplementedError


def update_config(
    *,
    actor: User,
    deployment: Deployment,
    configuration: Configuration,
    base_revision_number: int,
    reason: str = "",
) -> Operation:
    """Make a new revision on top of the one that was edited. Raises StaleBase, Invalid, Conflict while deleting."""
    raise NotImplementedError


def deploy_code(
    *,
    actor: User | None,
    deployment: Deployment,
    digest: str,
    summary: str,
    kind: Operation.Kind = Operation.Kind.DEPLOY,
) -> Operation:
    """Make a new revision with other code and the same configuration. `operation.revision` is the new one."""
    raise NotImplementedError


def restore_revision(
    *, actor: User, deployment: Deployment, revision: Revision, reason: str = ""
) -> Operation:
    """Make a new revision with the configuration and the code of an earlier one."""
    raise NotImplementedError


def retry(*, actor: User, deployment: Deployment) -> Operation:
    """Apply the wanted revision again after a failure, or lift a quarantine."""
    raise NotImplementedError


def delete_deployment(*, actor: User, deployment: Deployment, typed_name: str) -> Operation:
    """Begin to delete. Raises Invalid (field "typed_name") unless the name is typed exactly. Safe to repeat."""
    raise NotImplementedError


def store_secret(*, workspace: Workspace, value: str, actor: User) -> SecretValue:
    """Seal a secret value; its id goes into `Variable.secret_id`."""
    raise NotImplementedError


def save_draft(
    *,
    actor: User,
    workspace: Workspace,
    cluster: Cluster,
    configuration: Configuration,
    name: str = "",
    deployment: Deployment | None = None,
    base: Revision | None = None,
    restores: Revision | None = None,
) -> Draft:
    """Keep what was typed for the review page. A draft of a new Deployment has a name, of an existing one a base."""
    raise NotImplementedError


def update_draft(
    *,
    actor: User,
    draft: Draft,
    configuration: Configuration,
    name: str = "",
    base: Revision | None = None,
) -> Draft:
    """Replace what a draft holds; `base` moves it onto a newer revision after a stale edit."""
    raise NotImplementedError


def discard_draft(*, actor: User, draft: Draft) -> None:
    """Forget a draft and the secrets that only it holds."""
    raise NotImplementedError


def confirm_draft(*, actor: User, draft: Draft, reason: str = "") -> Operation:
    """Do what the draft says: create, update or restore. A second confirm returns the operation of the first."""
    raise NotImplementedError


_ = Any
