from pathlib import Path
from typing import Any

from django.utils import timezone

from apps.accounts.models import User
from apps.backups.keeping.running import back_up
from apps.backups.models import Backup
from apps.backups.services import request_backup
from apps.deployments.models import Deployment
from apps.deployments.secrets import sealed


def with_secrets(deployment: Deployment) -> Deployment:
    deployment.airflow_secrets = sealed.new_airflow_secrets(deployment_id=deployment.pk)
    deployment.save(update_fields=["airflow_secrets"])
    return deployment


def make_backup(actor: User | None, deployment: Deployment, **changes: Any) -> Backup:
    """Make a complete backup on the fake data plane."""
    with_secrets(deployment)
    backup = request_backup(actor=actor, deployment=deployment, **changes)
    back_up(backup_id=str(backup.pk), now=timezone.now())
    backup.refresh_from_db()
    return backup


def file_of(backup: Backup) -> Path:
    return Path(backup.path)
