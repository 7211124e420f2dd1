"""The external id of an organization: see `ExternalId`."""

from apps.clusters.models import ExternalId
from apps.organizations.models import Organization


def external_id_of(organization: Organization) -> str:
    """Return what the portal says to AWS for an organization; made once, kept as long as it."""
    return ExternalId.objects.get_or_create(organization=organization)[0].value
