"""The rule that gives branches of a repository Deployments of their own. Each change is audited."""

import re
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.errors import Invalid, Refused
from apps.deployments.editing.services import delete_deployment
from apps.deployments.models import Deployment, Phase
from apps.deploys.git.servers.remotes import clean_folder
from apps.deploys.models import BranchDeployment, BranchRule, GitRepository

CREATE, SEE = "workspace.deployments.create", "deployment.view"
MOST, LONGEST_DAYS = 20, 90
# What git allows in the name of a branch, with `*` for anything.
PATTERN = re.compile(r"[^\x00-\x20\x7f~^:?\[\\-][^\x00-\x20\x7f~^:?\[\\]*")


@transaction.atomic
def set_rule(
    *,
    actor: User,
    repository: GitRepository,
    template: Deployment,
    pattern: str,
    path: str,
    most: int,
    days: int,
) -> BranchRule:
    """Give branches that match `pattern` Deployments like `template`: at most `most` at a time,
    each for at most `days`. The actor vouches for it.

    Raises Invalid, and Refused unless the actor may create Deployments in the workspace.
    """
    workspace = repository.workspace
    if not actor.has_perm(CREATE, workspace):
        raise Refused(f"You may not create Deployments in {workspace}, nor let branches do it.")
    if template.workspace_id != workspace.pk or template.phase != Phase.ACTIVE:
        raise Invalid("Choose a Deployment of this workspace.", field="template")
    before = BranchRule.objects.filter(repository=repository).select_related("template").first()
    fields = {
        "template": template,
        "pattern": clean_pattern(pattern),
        "path": clean_folder(path),
        "most": max(1, min(most, MOST)),
        "days": max(1, min(days, LONGEST_DAYS)),
        "set_by": actor,
        "next_look_at": timezone.now(),
        "last_error": "",
    }
    rule, _ = BranchRule.objects.update_or_create(repository=repository, defaults=fields)
    _record(actor, repository, _in_words(before), _in_words(rule))
    return rule


@transaction.atomic
def remove_rule(*, actor: User, repository: GitRepository) -> int:
    """Stop it, and delete the Deployments that branches have. Returns how many."""
    rule = BranchRule.objects.filter(repository=repository).select_related("template").first()
    if rule is None:
        return 0
    found = list(live_deployments(rule))
    for one in found:
        delete_deployment(actor=actor, deployment=one.deployment, typed_name=one.deployment.name)
    _record(actor, repository, _in_words(rule), None)
    rule.delete()
    return len(found)


def live_deployments(rule: BranchRule) -> list[BranchDeployment]:
    """List the Deployments of branches that are not deleted, by branch."""
    rows = rule.deployments.filter(deployment__phase=Phase.ACTIVE)
    return list(rows.select_related("deployment__workspace__organization").order_by("branch"))


def ends_at(rule: BranchRule, *, now: datetime) -> datetime:
    """Return when a Deployment that is made now ends."""
    return now + timedelta(days=rule.days)


def clean_pattern(pattern: str) -> str:
    """Return a pattern of branches; raises Invalid, with field "pattern"."""
    pattern = pattern.strip()
    if len(pattern) > 200 or ".." in pattern or not PATTERN.fullmatch(pattern):
        raise Invalid(
            "Give the name of branches, with * for anything: feature/* for example.",
            field="pattern",
        )
    return pattern


def _in_words(rule: BranchRule | None) -> str | None:
    if rule is None:
        return None
    return f"{rule.pattern} like {rule.template.name}, at most {rule.most}, for {rule.days} days"


def _record(actor: User, repository: GitRepository, before: str | None, after: str | None) -> None:
    changes = {f"previews of branches of {repository}": [before, after]}
    action = "git_repository.branch_rule_changed"
    record_on(action=action, actor=actor, on=repository.workspace, changes=changes)
