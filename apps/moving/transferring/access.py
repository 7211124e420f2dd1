"""Who loses, gains and keeps which rights when a Deployment changes its workspace. Roles on the
Deployment itself and its API tokens end: afterwards only roles in the new workspace and in the
organization count.
"""

from collections import defaultdict
from dataclasses import dataclass

from apps.access.effective_grants import people_allowed
from apps.access.roles.catalogue import PERMISSIONS
from apps.access.scopes import Scoped
from apps.accounts.models import User
from apps.deployments.models import Deployment
from apps.organizations.models import Workspace
from apps.organizations.tokens.queries import tokens_on

SEE = "deployment.view"
OF_DEPLOYMENTS = tuple(one for one in PERMISSIONS if one.startswith("deployment."))


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A person who sees the Deployment before and after, and what they may no longer or newly do,
    in words.
    """

    person: User
    lost: tuple[str, ...]
    gained: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AccessChanges:
    """`tokens` are the names of the Deployment's own, which are revoked."""

    lost: tuple[User, ...]
    gained: tuple[User, ...]
    changed: tuple[Changed, ...]
    tokens: tuple[str, ...]
    tokens_lost: int
    tokens_gained: int


def access_changes(*, deployment: Deployment, workspace: Workspace) -> AccessChanges:
    """Compare the rights of all people now with those after the move. Two queries a permission."""
    before, after = _rights(deployment), _rights(workspace)
    lost = [one for one in before if SEE not in after.get(one, ())]
    gained = [one for one in after if SEE in after[one] and SEE not in before.get(one, ())]
    stay = [one for one in before if one not in lost and before[one] != after[one]]
    return AccessChanges(
        lost=_by_name(lost),
        gained=_by_name(gained),
        changed=tuple(
            Changed(
                person=one,
                lost=_in_words(before[one] - after[one]),
                gained=_in_words(after[one] - before[one]),
            )
            for one in _by_name(stay)
        ),
        tokens=tuple(one.name for one in tokens_on(on=deployment)),
        tokens_lost=tokens_on(on=deployment.workspace).count(),
        tokens_gained=tokens_on(on=workspace).count(),
    )


def _rights(on: Scoped) -> dict[User, set[str]]:
    found: dict[User, set[str]] = defaultdict(set)
    for permission in OF_DEPLOYMENTS:
        for person in people_allowed(permission=permission, on=on):
            found[person].add(permission)
    return dict(found)


def _by_name(people: list[User]) -> tuple[User, ...]:
    return tuple(sorted(people, key=lambda one: (str(one).lower(), one.pk)))


def _in_words(permissions: set[str]) -> tuple[str, ...]:
    return tuple(words for one, words in PERMISSIONS.items() if one in permissions)
