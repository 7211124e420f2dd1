"""What a setting says of identities that tasks have in a cloud: a kind, then a name in that cloud,
like `irsa arn:aws:iam::123456789012:role/etl`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from apps.core.errors import Invalid
from apps.dataplane.production import WorkloadIdentity

MOST_LINES = 50
# A star stands for a part of a name, never for an account, a project or a folder of roles.
STAR = r"[A-Za-z0-9+=,.@_-]*"
_ROLE = re.compile(r"arn:aws[a-z-]{0,10}:iam::[0-9]{12}:role/([A-Za-z0-9+=,.@_*-]{1,64}/?){1,8}")
_CLIENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ACCOUNT = re.compile(
    r"[a-z0-9*][a-z0-9*-]{0,29}@[a-z][a-z0-9.:-]{4,60}\.iam\.gserviceaccount\.com"
)
FORMS = {"irsa": _ROLE, "eks-pod-identity": _ROLE, "azure": _CLIENT_ID, "google": _ACCOUNT}
HOW = (
    "irsa arn:aws:iam::123456789012:role/etl, eks-pod-identity with the ARN of a role, azure with "
    "a client id, or google with the email of a service account"
)


@dataclass(frozen=True, kw_only=True)
class IdentityKind:
    """One identity, exactly; empty for none."""

    lines: int = 1
    choices: Sequence[str] = ()

    def parse(self, text: str) -> WorkloadIdentity | None:
        if not text:
            return None
        found = _read(text)
        if "*" in found.name:
            raise Invalid("A star is for what a cluster allows. Name one identity.")
        return found

    def tidy(self, text: str) -> str:
        found = self.parse(text.strip())
        return identity_text(found) if found else ""


@dataclass(frozen=True, kw_only=True)
class IdentitiesKind:
    """Identities that are allowed, one a line. A star in the last part of a name stands for any."""

    lines: int = 3
    choices: Sequence[str] = ()

    def parse(self, text: str) -> tuple[WorkloadIdentity, ...]:
        filled = [line.strip() for line in text.splitlines() if line.strip()]
        if len(filled) > MOST_LINES:
            raise Invalid(f"At most {MOST_LINES} lines; there are {len(filled)}.")
        found = {_read(line): None for line in filled}
        return tuple(sorted(found, key=identity_text))

    def tidy(self, text: str) -> str:
        return "\n".join(map(identity_text, self.parse(text)))


def identity_text(identity: WorkloadIdentity) -> str:
    """Write an identity as people do."""
    return f"{identity.kind} {identity.name}"


def is_allowed(identity: WorkloadIdentity, allowed: Sequence[WorkloadIdentity]) -> bool:
    """Return whether one of those that are allowed is this identity, or stands for it."""
    return any(one.kind == identity.kind and _fits(one.name, identity.name) for one in allowed)


def identity_called(name: str, allowed: Sequence[WorkloadIdentity]) -> WorkloadIdentity:
    """Return the identity that a client means, who names it with its kind or without.

    Raises Invalid for what no cloud has. One that is not allowed is returned all the same, for
    whoever checks it.
    """
    if " " in name.strip():
        return _read(name)
    kinds = [kind for kind, form in FORMS.items() if form.fullmatch(name)]
    found = [WorkloadIdentity(kind=kind, name=name) for kind in kinds]
    if not found:
        raise Invalid(f"“{name[:120]}” is no identity of a cloud. Write {HOW}.")
    return next((one for one in found if is_allowed(one, allowed)), found[0])


def _read(line: str) -> WorkloadIdentity:
    kind, _, name = line.partition(" ")
    name = name.strip()
    form = FORMS.get(kind)
    if form is None or len(name) > 300 or not form.fullmatch(name) or not _stars_are_last(name):
        raise Invalid(f"“{line[:120]}” is no identity of a cloud. Write {HOW}.")
    return WorkloadIdentity(kind=kind, name=name)


def _stars_are_last(name: str) -> bool:
    """Return whether stars are in the last part of a role, or the first of a service account."""
    before, _, after = name.partition("@") if "@" in name and ":" not in name else (name, "", "")
    return "*" not in after and "*" not in before.rpartition("/")[0]


def _fits(pattern: str, name: str) -> bool:
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(STAR.join(parts), name) is not None
