"""Secrets of one Deployment, sealed once more for another one. The values are never shown."""

from dataclasses import replace

from apps.accounts.models import User
from apps.deployments.configuration.schema import Configuration
from apps.deployments.models import Deployment, SecretValue
from apps.deployments.secrets import sealed
from apps.organizations.models import Workspace


def with_copied_secrets(
    *, actor: User, workspace: Workspace, deployment: Deployment, configuration: Configuration
) -> Configuration:
    """Return a configuration of a Deployment with secrets of its own in place of that Deployment's:
    they belong to `actor` until a revision takes them. Variables whose secret is gone are left out.

    Whether the actor may is decided before. Raises SecretUnreadable.
    """
    ids = configuration.secret_ids
    rows = SecretValue.objects.filter(pk__in=ids, deployment=deployment) if ids else ()
    copies = {str(row.pk): _copied(actor, workspace, row) for row in rows}
    variables = tuple(
        replace(one, secret_id=copies[one.secret_id]) if one.is_secret else one
        for one in configuration.variables
        if not one.is_secret or one.secret_id in copies
    )
    image = configuration.image
    if image is not None and image.secret_id:
        image = replace(image, secret_id=copies.get(image.secret_id, ""))
    return replace(configuration, variables=variables, image=image)


def _copied(actor: User, workspace: Workspace, row: SecretValue) -> str:
    value = sealed.open_secret_value(row)
    copy = sealed.new_secret_value(workspace=workspace, value=value)
    copy.created_by = actor
    copy.save(force_insert=True)
    return str(copy.pk)
