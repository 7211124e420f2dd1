"""What git deploys in the name of an account waits for another person's word once the ways into
that account have ended, if its address was not proved before.
"""

from typing import Any

from django.db.models import QuerySet

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.deploys.models import BranchRule, GitRepository, GitSource


def connect() -> None:
    """Connect to the signal of accounts. Called once, when the app is ready."""
    earlier_access_ended.connect(_end, dispatch_uid="end what git deploys")


def _end(sender: Any, user: User, **_: Any) -> list[str]:
    repositories = GitRepository.objects.filter(connected_by=user).select_related("workspace")
    sources = GitSource.objects.filter(set_by=user).select_related("deployment", "repository")
    rules = BranchRule.objects.filter(set_by=user).select_related("repository__workspace")
    words = []
    for repository in repositories:
        change = {f"git repository {repository}": ["connected", f"to be saved again: {user.email}"]}
        record_on(
            action="git_repository.orphaned", actor=None, on=repository.workspace, changes=change
        )
        words.append(f"the connection to {repository}")
    for source in sources:
        change = {"git": [str(source), f"to be saved again: {user.email}"]}
        record_on(action="git_source.orphaned", actor=None, on=source.deployment, changes=change)
        words.append(f"deploys of {source.deployment} from {source}")
    for rule in rules:
        change = {f"branches {rule}": [str(rule.repository), f"to be saved again: {user.email}"]}
        record_on(
            action="branch_rule.orphaned", actor=None, on=rule.repository.workspace, changes=change
        )
        words.append(f"Deployments for branches of {rule.repository}")
    _forget(rules, "set_by")
    _forget(repositories, "connected_by")
    _forget(sources, "set_by")
    return words


def _forget(found: QuerySet[Any], field: str) -> None:
    found.model.objects.filter(pk__in=[one.pk for one in found]).update(**{field: None})
