"""Gives a Deployment another name. Its `ref`, and with it every address of it, stays."""

from django.db import IntegrityError, transaction

from apps.accounts.models import User
from apps.deployments import tasks
from apps.deployments.configuration.validation import validate_name
from apps.deployments.editing.revisions import InvalidConfiguration
from apps.deployments.editing.services import name_taken
from apps.deployments.models import Deployment
from apps.deployments.operations import lock_deployment, record_change
from apps.deployments.reconciling.shared_values import note_change


@transaction.atomic
def rename_deployment(*, actor: User, deployment: Deployment, name: str) -> Deployment:
    """Change the name that people read; nothing restarts. Raises Invalid, with field "name", and
    Conflict while being deleted. The same name again changes nothing.
    """
    name = name.strip()
    problems = validate_name(name)
    if problems:
        raise InvalidConfiguration(problems)
    deployment = lock_deployment(deployment)
    before = deployment.name
    if name == before:
        return deployment
    deployment.name = name
    try:
        with transaction.atomic():
            deployment.save(update_fields=["name"])
    except IntegrityError as error:
        raise name_taken(error, name) from error
    record_change(actor, deployment, "deployment.renamed", {"name": [before, name]})
    # Kubernetes has the name in an annotation, which the next pass writes.
    note_change([deployment.pk])
    transaction.on_commit(lambda: tasks.hint(deployment.pk), robust=True)
    return deployment
