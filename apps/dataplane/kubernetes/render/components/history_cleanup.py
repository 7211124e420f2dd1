"""The removal of old runs from the metadata database, every night."""

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.components.database_jobs import programs_volume
from apps.dataplane.kubernetes.render.components.log_cleanup import nightly
from apps.dataplane.kubernetes.render.components.migration import database_program
from apps.dataplane.kubernetes.render.pods.access import AIRFLOW
from apps.dataplane.kubernetes.render.pods.configuration import Configuration
from apps.dataplane.kubernetes.render.pods.pods import (
    AIRFLOW_USER,
    restricted_pod,
    scratch_volume,
)
from apps.dataplane.kubernetes.render.pods.portal_files import PROGRAM_FILES

COMPONENT = "history-cleanup"


def history_cleanup(configuration: Configuration) -> Manifest:
    """Return the CronJob. As with the migration, no user variables are part of it."""
    target = configuration.target
    container = database_program(
        configuration,
        "clean_database",
        share=sizes.MIGRATION,
        PORTAL_HISTORY_DAYS=str(target.config.history_days),
    )
    pod = {
        **restricted_pod(target, user=AIRFLOW_USER, group=0),
        "serviceAccountName": AIRFLOW,
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [programs_volume(PROGRAM_FILES), scratch_volume()],
    }
    return nightly(target, COMPONENT, pod)
