from django.db import transaction

from apps.accounts.models import User
from apps.audit.services import record
from apps.clusters.models import Cluster
from apps.organizations.models import Organization


@transaction.atomic
def register_this_machine(*, actor: User, organization: Organization) -> Cluster:
    """Let an organization run Deployments on the machine that the portal runs on."""
    cluster = Cluster.objects.create(
        organization=organization, kind=Cluster.Kind.LOCAL, name=Cluster.Kind.LOCAL.label
    )
    record(
        action="cluster.registered",
        actor=actor,
        organization_id=organization.pk,
        target_kind="cluster",
        target_id=cluster.pk,
        target_label=cluster.name,
    )
    return cluster
