"""Keys of a file of a Deployment that the portal does not know, with the one that was meant."""

import json
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Any

from django.http import HttpRequest
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from apps.api.deployments.bodies import DeploymentChange, NewDeployment, QueueBody, VariableBody
from apps.api.deployments.shapes import DeploymentShape, QueueShape, VariableShape
from apps.deployments.configuration.validation import Problem
from apps.deployments.editing.revisions import InvalidConfiguration

MOST_PROBLEMS, LONGEST_KEY = 50, 60
NEAR, MISSPELT = 0.6, 0.85
# What may be sent back as it was read.
KNOWN: dict[str, tuple[type[BaseModel], ...]] = {
    "": (NewDeployment, DeploymentChange, DeploymentShape),
    "environmentVariables": (VariableBody, VariableShape),
    "workerQueues": (QueueBody, QueueShape),
}
# What clients of Astro send besides: the portal leaves it out of account.
OF_OTHER_CLIENTS = {
    "cloudProvider",
    "defaultTaskPodCpu",
    "defaultTaskPodMemory",
    "drWorkloadIdentity",
    "id",
    "isDefault",
    "nodePoolId",
    "region",
    "remoteExecution",
    "resourceQuotaCpu",
    "resourceQuotaMemory",
    "scheduler",
    "taskPodNodePoolId",
}


def refuse_unknown_keys(request: HttpRequest) -> None:
    """Raise InvalidConfiguration for every key of the body that no Deployment has."""
    _refuse(list(_problems(request, cutoff=NEAR)))


def refuse_misspelt_keys(request: HttpRequest) -> None:
    """Raise InvalidConfiguration for keys that are nearly those of a Deployment. Any other may be
    of a client that is newer than this portal.
    """
    found = _problems(request, cutoff=MISSPELT)
    _refuse([one for one in found if one.message.endswith("?")])


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InvalidConfiguration(problems)


def _problems(request: HttpRequest, *, cutoff: float) -> Iterator[Problem]:
    # To compare takes long: a body may have many keys.
    for place, key, known in islice(_unknown_keys(json.loads(request.body)), MOST_PROBLEMS):
        shown = key[:LONGEST_KEY]
        is_of_others = cutoff == MISSPELT and key in OF_OTHER_CLIENTS
        nearest = [] if is_of_others else get_close_matches(shown, known, n=1, cutoff=cutoff)
        hint = f" Did you mean {nearest[0]}?" if nearest else ""
        yield Problem(f"{place}{shown}", f"A Deployment has no {shown}.{hint}")


def _unknown_keys(body: dict[str, Any]) -> Iterator[tuple[str, str, set[str]]]:
    """Return where each unknown key is, itself, and the keys that are known there."""
    yield from _unknown("", body, KNOWN[""])
    for part in ("environmentVariables", "workerQueues"):
        for index, row in enumerate(body.get(part) or ()):
            yield from _unknown(f"{part}.{index}.", row, KNOWN[part])


def _unknown(
    place: str, row: dict[str, Any], shapes: tuple[type[BaseModel], ...]
) -> Iterator[tuple[str, str, set[str]]]:
    fields = {name for shape in shapes for name in shape.model_fields}
    known = {to_camel(name) for name in fields}
    return ((place, key, known) for key in row if key not in known and key not in fields)
