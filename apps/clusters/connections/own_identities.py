"""What the portal says of itself to clouds for an organization: to AWS an external id that it made,
and to Azure and Google, who have nothing like it, only who it is. There its operator names the
organizations that may let it, because each of them reaches whatever this identity reaches.
"""

from dataclasses import dataclass

from django.conf import settings

from apps.clusters.models import ExternalId
from apps.dataplane.clouds.identities import AwsIdentity, CloudIdentity
from apps.dataplane.errors import Permanent
from apps.organizations.models import Organization


@dataclass(frozen=True, kw_only=True)
class OwnIdentity:
    """`principal` is the client id at Azure, the email at Google; `own_of` is the organization."""

    principal: str
    own_of: str


def external_id_of(organization: Organization) -> str:
    """Return what the portal says to AWS for an organization; made once, kept as long as it."""
    return ExternalId.objects.get_or_create(organization=organization)[0].value


def own_identity_for(organization: Organization, cloud: str) -> OwnIdentity | None:
    """Return what the portal is at a cloud if this organization may use it, else None."""
    principal, slugs = _allowed(cloud)
    if not principal or organization.slug not in slugs:
        return None
    return OwnIdentity(principal=principal, own_of=organization.slug)


def refuse_withdrawn(identity: CloudIdentity | None) -> None:
    """Raise Permanent for the portal's own identity, once the operator gave it to another or took
    it from the organization.
    """
    if identity is None or isinstance(identity, AwsIdentity) or not identity.own_of:
        return
    facts = identity.facts
    principal, slugs = _allowed(facts["cloud"])
    if identity.own_of not in slugs or facts["principal"] != principal:
        raise Permanent(
            "The operator of this portal does not let this organization use the portal's own "
            "identity there any more. Replace the credential of the cluster, or ask the operator."
        )


def _allowed(cloud: str) -> tuple[str, tuple[str, ...]]:
    found: dict[str, tuple[str, tuple[str, ...]]] = {
        "azure": (settings.AZURE_PRINCIPAL, settings.AZURE_ORGANIZATIONS),
        "google": (settings.GOOGLE_PRINCIPAL, settings.GOOGLE_ORGANIZATIONS),
    }
    return found.get(cloud, ("", ()))
