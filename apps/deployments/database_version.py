"""Which Airflow a Deployment's metadata database is at. That decides what it may go back to, not
which Airflow is wanted: an upgrade that failed before it touched the database can be undone.
"""

from packaging.version import Version

from apps.deployments.configuration.options import DeploymentOptions
from apps.deployments.configuration.validation import Present
from apps.deployments.models import Deployment, OperationStep, Revision

# Steps of the data planes that make a database newer once they have begun, even if they fail.
MIGRATIONS = ("migrate", "migration")
# A new database is made at the Airflow of the first revision.
FIRST = ("database", *MIGRATIONS)


def present_of(deployment: Deployment, options: DeploymentOptions) -> Present:
    """Return what a Deployment has: its wanted and its applied runtime, and the newest Airflow that
    its database was brought to, or may have been.
    """
    chosen = [one for one in (deployment.wanted, deployment.applied) if one is not None]
    reached = [*_migrated(deployment), *([deployment.applied] if deployment.applied else [])]
    versions = [
        runtime.airflow_version
        for one in reached
        if (runtime := options.runtime(one.configuration.runtime))
    ]
    return Present(
        runtimes=frozenset(one.configuration.runtime for one in chosen),
        database_airflow=max(versions, key=Version, default=""),
        ref=deployment.ref,
        settings=deployment.wanted.configuration.own_settings if deployment.wanted else {},
    )


def _migrated(deployment: Deployment) -> list[Revision]:
    """List the revisions after the applied one for which a migration began."""
    applied = deployment.applied
    keys = FIRST if applied is None else MIGRATIONS
    begun = OperationStep.objects.filter(
        operation__deployment=deployment, key__in=keys, started_at__isnull=False
    )
    revisions = Revision.objects.filter(pk__in=begun.values("operation__revision"))
    return list(revisions.filter(number__gt=applied.number if applied else 0))
