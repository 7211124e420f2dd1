"""The job that gives branches their Deployments and takes them away. It may be killed anywhere and
be done again: a Deployment and the row that ties it to its branch are made in one transaction.

First it deletes: of branches that are gone, and those whose days are over, also when the person
behind the rule has lost the right to create. Then it creates, as long as that person may.
"""

import logging
import secrets
from dataclasses import replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils.text import slugify

from apps.core.context import RequestContext, enter_request, leave_request
from apps.core.errors import Invalid, PortalError
from apps.deployments.configuration.schema import Configuration
from apps.deployments.editing.services import create_deployment, delete_deployment
from apps.deployments.models import Phase
from apps.deploys.branches.services import CREATE, SEE, ends_at, live_deployments
from apps.deploys.git.polling import CONNECT, keep_host_key, login_of, why_not_vouched
from apps.deploys.git.servers.fetching import branches_like
from apps.deploys.git.servers.remotes import clean_branch, remote_of
from apps.deploys.git.services import set_source
from apps.deploys.models import BranchDeployment, BranchRule

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 5
CLAIM = timedelta(minutes=5)
NAME_LENGTH = 60


class NotVouched(PortalError):
    """Whoever set the rule may no longer create Deployments."""


def look_at_due(*, now: datetime) -> int:
    """Look at the rules that are due, some at a time; return how many."""
    due = BranchRule.objects.filter(next_look_at__lte=now).order_by("next_look_at")
    return sum(look(rule_id=pk, now=now) for pk in due.values_list("pk", flat=True)[:MOST_AT_ONCE])


def look(*, rule_id: int, now: datetime) -> bool:
    """Look at the branches of one repository, unless another job does; return whether it did."""
    rows = BranchRule.objects.filter(pk=rule_id)
    if not rows.filter(next_look_at__lte=now).update(next_look_at=now + CLAIM):
        return False
    above = ("repository__workspace__organization", "repository__connected_by", "set_by")
    more = ("template__wanted", "template__cluster", "template__workspace__organization")
    rule = rows.select_related(*above, *more).get()
    token = enter_request(RequestContext(caller=f"Git repository {rule.repository}"))
    error = ""
    try:
        _look(rule, now)
    except PortalError as failure:
        error = failure.message
        logger.info("branches not followed", extra={"repository": rule.repository_id})
    finally:
        leave_request(token)
    wait = timedelta(seconds=settings.GIT_POLL_SECONDS * (10 if error else 1))
    rows.update(next_look_at=now + wait, last_error=error[:500])
    return True


def _look(rule: BranchRule, now: datetime) -> None:
    _end_overdue(rule, now)
    _ensure_connected(rule)
    repository = rule.repository
    found = branches_like(remote_of(repository.url), login_of(repository), pattern=rule.pattern)
    keep_host_key(repository, found.host_key)
    _end_gone(rule, found.commits)
    _ensure_may_create(rule)
    _begin_new(rule, found.commits, now)


def _ensure_connected(rule: BranchRule) -> None:
    repository = rule.repository
    why = why_not_vouched(
        repository.connected_by,
        permission=CONNECT,
        on=repository.workspace,
        setup="connected this repository",
    )
    if why:
        raise NotVouched(f"{why} Someone who may has to save the repository again.")


def _ensure_may_create(rule: BranchRule) -> None:
    setup = "set up previews of branches"
    for permission, on in ((CREATE, rule.repository.workspace), (SEE, rule.template)):
        why = why_not_vouched(rule.set_by, permission=permission, on=on, setup=setup)
        if why:
            raise NotVouched(f"{why} Someone who may has to save the rule again.")


def _end_overdue(rule: BranchRule, now: datetime) -> None:
    for one in live_deployments(rule):
        if one.ends_at <= now:
            _delete(one)


def _end_gone(rule: BranchRule, commits: dict[str, str]) -> None:
    for one in live_deployments(rule):
        if one.branch not in commits:
            _delete(one)
    # A branch that comes back later begins anew.
    rule.deployments.exclude(branch__in=list(commits)).exclude(
        deployment__phase=Phase.ACTIVE
    ).delete()


def _delete(one: BranchDeployment) -> None:
    delete_deployment(actor=None, deployment=one.deployment, typed_name=one.deployment.name)


def _begin_new(rule: BranchRule, commits: dict[str, str], now: datetime) -> None:
    known = {one.branch: one for one in rule.deployments.select_related("deployment")}
    free = rule.most - len(live_deployments(rule))
    active = rule.repository.sources.filter(deployment__phase=Phase.ACTIVE)
    followed = set(active.values_list("branch", flat=True)) - set(known)
    waiting = [
        (branch, commit)
        for branch, commit in commits.items()
        if branch not in followed and _is_new(known.get(branch), commit)
    ]
    for branch, commit in waiting[: max(0, free)]:
        _begin(rule, branch, commit, now)
    if len(waiting) > max(0, free):
        raise Invalid(
            f"Branches that match and wait: {len(waiting) - max(0, free)}. There may be "
            f"{rule.most} Deployments of branches at a time. Delete branches, or raise the limit."
        )


def _is_new(before: BranchDeployment | None, commit: str) -> bool:
    """Return whether a branch gets a Deployment: it had none, or the one it had ended and the
    branch has moved since.
    """
    if before is None:
        return True
    return before.deployment.phase != Phase.ACTIVE and before.commit != commit


@transaction.atomic
def _begin(rule: BranchRule, branch: str, commit: str, now: datetime) -> None:
    repository, author = rule.repository, rule.set_by
    if author is None:
        return
    branch = clean_branch(branch)
    operation = create_deployment(
        actor=author,
        workspace=repository.workspace,
        cluster=rule.template.cluster,
        name=_free_name(branch),
        configuration=_configuration(rule, branch),
        reason=f"Branch {branch} of {repository}",
    )
    deployment = operation.deployment
    rule.deployments.filter(branch=branch).delete()
    BranchDeployment.objects.create(
        rule=rule,
        branch=branch,
        commit=commit,
        deployment=deployment,
        ends_at=ends_at(rule, now=now),
    )
    set_source(
        actor=author, deployment=deployment, repository=repository, branch=branch, path=rule.path
    )


def _free_name(branch: str) -> str:
    """Return a name for people, with four characters that make it unlike others."""
    stem = f"preview-{slugify(branch.replace('/', '-')) or 'branch'}"
    return f"{stem[: NAME_LENGTH - 5].rstrip('-')}-{secrets.token_hex(2)}"


def _configuration(rule: BranchRule, branch: str) -> Configuration:
    """Return the configuration of the template, with one worker per queue and without secrets."""
    wanted = rule.template.wanted
    if wanted is None:
        raise Invalid(f"{rule.template.name} has no configuration to take.")
    configuration = wanted.configuration
    return replace(
        configuration,
        description=f"Preview of the branch {branch}"[:500],
        queues=tuple(
            replace(queue, min_workers=min(queue.min_workers, 1), max_workers=1)
            for queue in configuration.queues
        ),
        variables=tuple(one for one in configuration.variables if not one.is_secret),
    )
