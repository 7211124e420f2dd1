"""What takes the right to deploy code, although the right to edit a Deployment leads there.

An image of people's own is code. Other code comes along when an earlier revision is restored. And
whoever says which CAs Airflow trusts can read and change what its tasks send and receive, with a
proxy that anyone who edits may name.
"""

from collections.abc import Callable

from apps.accounts.models import User
from apps.core.errors import PortalError, Refused
from apps.deployments.configuration.schema import Configuration
from apps.deployments.models import Deployment, Revision
from apps.organizations.models import Workspace

DEPLOY = "deployment.deploys.create"
TRUST = "ca_bundle"
IMAGE_IS_CODE = (
    "An image is code: choosing one takes the permission “Deploy code and roll back”. Ask a person "
    "who has it, or leave the image as it is."
)
TRUST_IS_CODE = (
    "Which CAs Airflow trusts is changed by those with the permission “Deploy code and roll back”. "
    "Ask a person who has it, or leave the CA bundle as it is."
)
# What apps above this one ask before people bring code, with `actor` and `deployment`; each raises
# a PortalError.
RULES: list[Callable[..., None]] = []


class CodeRightMissing(Refused):
    """The change needs the right to deploy code, which the person does not have."""


def ensure_may_configure(
    *, actor: User, deployment: Deployment, before: Configuration | None, after: Configuration
) -> None:
    """Raise CodeRightMissing for another image or CA bundle without the right to deploy code, and
    what `RULES` raise for another image. `before` is None for a new Deployment.
    """
    brings_image = _digest(after) not in ("", _digest(before))
    bundle = after.own_settings.get(TRUST, "")
    brings_trust = bundle not in ("", before.own_settings.get(TRUST, "") if before else "")
    if not (brings_image or brings_trust):
        return
    if not actor.has_perm(DEPLOY, deployment):
        raise CodeRightMissing(IMAGE_IS_CODE if brings_image else TRUST_IS_CODE)
    if brings_image:
        for rule in RULES:
            rule(actor=actor, deployment=deployment)


def code_refusals(*, actor: User, on: Deployment | Workspace) -> dict[str, str]:
    """Return why this person may choose no other image or CA bundle of a Deployment, or of a new
    one in a workspace: sentences by the field of the form, none where they may.
    """
    if not actor.has_perm(DEPLOY, on):
        return {"image": IMAGE_IS_CODE, TRUST: TRUST_IS_CODE}
    if isinstance(on, Workspace):
        return {}
    try:
        for rule in RULES:
            rule(actor=actor, deployment=on)
    except PortalError as error:
        return {"image": error.message}
    return {}


def ensure_may_restore(*, actor: User, deployment: Deployment, revision: Revision) -> None:
    """Raise CodeRightMissing where a revision has other code, another image or another CA bundle
    than runs now, and the person may not deploy code. Needs `wanted`.
    """
    current = deployment.wanted
    if current is not None and _code_of(current) == _code_of(revision):
        return
    if not actor.has_perm(DEPLOY, deployment):
        raise CodeRightMissing(
            f"Revision {revision.number} has other code, another image or another CA bundle. Going "
            "back to it takes the permission “Deploy code and roll back”. Ask a person who has it."
        )


def ensure_may_bring_airflow(*, actor: User, workspace: Workspace) -> None:
    """Raise CodeRightMissing without the right to deploy code in a workspace. Airflow runs what its
    database says: a row of `trigger` names the class that the triggerer makes.
    """
    if not actor.has_perm(DEPLOY, workspace):
        raise CodeRightMissing(
            "The database of an Airflow brings code along: its triggerer runs what stands there. "
            "To bring one takes the permission “Deploy code and roll back”. Ask a person who has "
            "it."
        )


def ensure_gains_no_code(*, actor: User, deployment: Deployment, workspace: Workspace) -> None:
    """Raise CodeRightMissing where the person may deploy code in another workspace and not to this
    Deployment: its secrets would come to code of theirs.
    """
    if actor.has_perm(DEPLOY, workspace) and not actor.has_perm(DEPLOY, deployment):
        raise CodeRightMissing(
            f"You may deploy code in {workspace}, and not to {deployment.name}, whose secrets come "
            "along. Ask a person with the permission “Deploy code and roll back” to do it."
        )


def _digest(configuration: Configuration | None) -> str:
    image = configuration.image if configuration else None
    return (image.digest or image.name) if image else ""


def _code_of(revision: Revision) -> tuple[str, ...]:
    configuration = revision.configuration
    bundle = configuration.own_settings.get(TRUST, "")
    return (revision.code_digest, revision.packages_digest, _digest(configuration), bundle)
