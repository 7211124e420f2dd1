"""What an update would change, before it is made: for a file that a person keeps."""

from typing import Any

from django.db import transaction
from ninja import Path, Router

from apps.api.deployments.bodies import (
    DeploymentChange,
    changed_configuration,
    options_of,
    refuse_what_is_not_here,
)
from apps.api.deployments.keys import refuse_unknown_keys
from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import NotHere
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.shapes import Shape
from apps.deployments.configuration.changes import changes
from apps.deployments.configuration.validation import validate
from apps.deployments.database_version import present_of
from apps.deployments.editing.revisions import InvalidConfiguration
from apps.deployments.models import Deployment

router = Router(by_alias=True, exclude_none=True, tags=["Deployment"])


class Difference(Shape):
    """One line of the review. `effect` is what applying it restarts."""

    section: str
    label: str
    before: str
    after: str
    effect: str


class Differences(Shape):
    changes: list[Difference]


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/diff",
    auth=on_deployment("deployment.update"),
    response=Differences,
    operation_id="DiffDeployment",
    summary="Say what an update would change",
)
def diff_deployment(request: Call, at: Path[AtDeployment], body: DeploymentChange) -> Any:
    """Take the body of an update, change nothing, and return what would differ. Unlike the update
    it refuses keys that it does not know, and names the one that was probably meant.
    """
    deployment: Deployment = request.found
    if deployment.wanted is None:
        raise NotHere
    refuse_unknown_keys(request)
    refuse_what_is_not_here(body)
    before = deployment.wanted.configuration
    with transaction.atomic():
        after = changed_configuration(
            body,
            before=before,
            actor=request.caller.user,
            workspace=deployment.workspace,
            cluster=deployment.cluster,
        )
        transaction.set_rollback(True)  # values of secrets were sealed
    options = options_of(deployment.cluster, deployment.workspace)
    present = present_of(deployment, options)
    problems = validate(configuration=after, options=options, present=present)
    if problems:
        raise InvalidConfiguration(problems)
    rows = [
        Difference(
            section=one.section,
            label=one.label,
            before=one.before,
            after=one.after,
            effect=one.effect,
        )
        for one in changes(before, after)
    ]
    return Differences(changes=rows)
