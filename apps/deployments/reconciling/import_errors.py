"""What an Airflow tells of its DAGs, kept with what was seen of a Deployment: which files cannot be
imported, and which tasks cannot start.

A pass over a Deployment at rest asks, and so does whoever asks for figures while a page is open. An
observation without import errors does not ask for them.
"""

import json
from dataclasses import asdict, replace
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import F, Func, JSONField, Value

from apps.dataplane.airflow_answers.import_errors import read_import_errors
from apps.dataplane.airflow_answers.waiting_tasks import read_warnings
from apps.dataplane.base import DataPlane
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import ImportErrors, Observation
from apps.deployments.models import Deployment
from apps.deployments.reconciling.compiler import compile_spec


def completed(*, plane: DataPlane, deployment: Deployment, observation: Observation) -> Observation:
    """Return a look with the import errors and the warnings that Airflow tells, or as it was if it
    tells none.
    """
    if observation.health != "healthy" or deployment.wanted is None:
        return observation
    try:
        spec = compile_spec(deployment=deployment, revision=deployment.wanted)
    except DataPlaneError:
        # The next apply meets the same and says it.
        return observation
    observation = replace(observation, warnings=read_warnings(plane, spec=spec))
    if observation.import_errors == 0:
        return observation
    found = read_import_errors(plane, spec=spec)
    if found is None:
        return observation
    return replace(observation, import_errors=found.count, import_failures=found.failures)


def keep(*, plane: DataPlane, deployment: Deployment, spec: DeploymentSpec, count: int) -> None:
    """Write what Airflow tells of `count` import errors into what was seen of a Deployment."""
    known = deployment.observation.get("import_errors")
    if count == 0:
        if known:
            _write(deployment, ImportErrors(count=0))
        return
    found = read_import_errors(plane, spec=spec) or ImportErrors(count=count)
    _write(deployment, found)


def keep_warnings(*, deployment: Deployment, warnings: tuple[str, ...]) -> None:
    """Write the warnings into what was seen of a Deployment."""
    _join(deployment, {"warnings": list(warnings)})


def _write(deployment: Deployment, found: ImportErrors) -> None:
    failures = json.loads(
        json.dumps([asdict(one) for one in found.failures], cls=DjangoJSONEncoder)
    )
    _join(deployment, {"import_errors": found.count, "import_failures": failures})


def _join(deployment: Deployment, seen: dict[str, Any]) -> None:
    rows = Deployment.objects.filter(pk=deployment.pk)
    if all(deployment.observation.get(name) == value for name, value in seen.items()):
        return
    # Joined by the database: a pass may write the rest of what was seen meanwhile.
    joined = Func(
        F("observation"),
        Value(seen, JSONField()),
        template="(%(expressions)s)",
        arg_joiner=" || ",
        output_field=JSONField(),
    )
    rows.exclude(observation={}).update(observation=joined)
