"""Daily cleanup of drafts and secrets that were never applied."""

import logging
from datetime import datetime, timedelta

from django.db import transaction

from apps.deployments.configuration.schema import Configuration
from apps.deployments.models import Draft, SecretValue

logger = logging.getLogger(__name__)

DRAFTS_LAST = timedelta(days=30)
# An open form refers to secrets before a draft does.
SECRETS_LAST = timedelta(days=1)


@transaction.atomic
def clean_up(*, now: datetime) -> tuple[int, int]:
    """Remove drafts that were not changed for long, and old secrets without a reference.

    Returns how many of each. A secret that a revision refers to belongs to its Deployment and is
    never considered. One that a concurrent revision takes is locked, and then belongs to it.
    """
    drafts = Draft.objects.filter(updated_at__lt=now - DRAFTS_LAST)
    n_drafts, _ = drafts.delete()
    held = {
        secret_id
        for config in Draft.objects.values_list("config", flat=True)
        for secret_id in Configuration.from_json(config).secret_ids
    }
    secrets = SecretValue.objects.filter(deployment=None, created_at__lt=now - SECRETS_LAST)
    unheld = {str(pk) for pk in secrets.values_list("pk", flat=True)} - held
    n_secrets, _ = secrets.filter(pk__in=unheld).delete()
    if n_drafts or n_secrets:
        logger.info("expired rows removed", extra={"drafts": n_drafts, "secrets": n_secrets})
    return n_drafts, n_secrets
