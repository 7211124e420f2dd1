"""What an update would change, before it is made: for a file that a person keeps."""

import json
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from django.db import transaction
from ninja import Path, Router
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from apps.api.deployments.bodies import (
    DeploymentChange,
    QueueBody,
    VariableBody,
    changed_configuration,
    options_of,
    refuse_what_is_not_here,
)
from apps.api.deployments.shapes import (
    AtDeployment,
    DeploymentShape,
    QueueShape,
    VariableShape,
)
from apps.api.wire.errors import NotHere
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.shapes import Shape
from apps.deployments.configuration.changes import changes
from apps.deployments.configuration.validation import Problem, validate
from apps.deployments.database_version import present_of
from apps.deployments.editing.revisions import InvalidConfiguration
from apps.deployments.models import Deployment

router = Router(by_alias=True, exclude_none=True, tags=["Deployment"])
MOST_PROBLEMS, LONGEST_KEY = 50, 60
# What may be sent back as it was read.
KNOWN: dict[str, tuple[type[BaseModel], ...]] = {
    "": (DeploymentChange, DeploymentShape),
    "environmentVariables": (VariableBody, VariableShape),
    "workerQueues": (QueueBody, QueueShape),
}


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
    _refuse_unknown_keys(request)
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


def _refuse_unknown_keys(request: Call) -> None:
    body = json.loads(request.body)
    problems = list(_unknown_keys(body))[:MOST_PROBLEMS]
    if problems:
        raise InvalidConfiguration(problems)


def _unknown_keys(body: dict[str, Any]) -> Iterator[Problem]:
    yield from _unknown("", body, KNOWN[""])
    for part in ("environmentVariables", "workerQueues"):
        for index, row in enumerate(body.get(part) or ()):
            yield from _unknown(f"{part}.{index}.", row, KNOWN[part])


def _unknown(
    place: str, row: dict[str, Any], shapes: tuple[type[BaseModel], ...]
) -> Iterator[Problem]:
    known = {to_camel(name) for shape in shapes for name in shape.model_fields}
    for key in row:
        if key in known or key in {name for shape in shapes for name in shape.model_fields}:
            continue
        shown = key[:LONGEST_KEY]
        nearest = get_close_matches(shown, known, n=1)
        hint = f" Did you mean {nearest[0]}?" if nearest else ""
        yield Problem(f"{place}{shown}", f"A Deployment has no {shown}.{hint}")
