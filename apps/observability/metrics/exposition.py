"""Measurements as text. Pure.

The format is OpenMetrics 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/): all samples
of a family stand together, a counter's end in `_total`, and the text in `# EOF`.
"""

from collections.abc import Iterator, Mapping, Sequence

from apps.deployments.models import Deployment, Health
from apps.observability.metrics.families import (
    ANSWERED,
    COUNTERS,
    GAUGES,
    HEALTHY,
    INCIDENTS,
    INFO,
    PREFIX,
    Family,
)
from apps.observability.metrics.queries import MOST_DEPLOYMENTS, Measured

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# Queues, pools and components of one Deployment, in the order of their names.
MOST_PARTS = 100
SUFFIXES = {"gauge": "", "counter": "_total", "info": "_info"}
_LEFT_OUT = Family(
    name=f"{PREFIX}left_out_deployments",
    kind="gauge",
    help="1 when there are more Deployments than an answer may hold. Scrape by workspace then.",
)


def written(found: Sequence[Measured]) -> str:
    """Write what was measured of Deployments, of more than `MOST_DEPLOYMENTS` the first ones."""
    shown = found[:MOST_DEPLOYMENTS]
    lines = [line for part in _families(shown) for line in part]
    lines += _family(_LEFT_OUT, [({}, float(len(found) > len(shown)))])
    return "\n".join([*lines, "# EOF", ""])


def _families(found: Sequence[Measured]) -> Iterator[list[str]]:
    labels = {one.deployment.pk: _labels(one.deployment) for one in found}
    named = [(labels[one.deployment.pk], one) for one in found]
    yield _family(INFO, [({**base, **_facts(one.deployment)}, 1.0) for base, one in named])
    healthy = Health.HEALTHY
    yield _family(HEALTHY, [(base, float(one.deployment.health == healthy)) for base, one in named])
    yield _family(INCIDENTS, [(base, float(one.deployment.open_incidents)) for base, one in named])
    answered = [(base, one.answered_at) for base, one in named]
    yield _family(ANSWERED, [(base, at.timestamp()) for base, at in answered if at])
    for family in GAUGES:
        yield _family(
            family, [sample for base, one in named for sample in _parts(family, base, one)]
        )
    for counted in COUNTERS:
        samples = [
            ({**base, "result": result}, one.ended[metric])
            for base, one in named
            for result, metric in counted.results
            if metric in one.ended
        ]
        yield _family(counted.family, samples)


def _parts(
    family: Family, base: Mapping[str, str], one: Measured
) -> Iterator[tuple[Mapping[str, str], float]]:
    parts = sorted(part for metric, part in one.values if metric == family.metric)
    for part in parts[:MOST_PARTS]:
        label = {family.label: part} if family.label else {}
        yield {**base, **label}, one.values[family.metric, part] * family.factor


def _labels(deployment: Deployment) -> dict[str, str]:
    workspace = deployment.workspace
    return {
        "organization": workspace.organization.slug,
        "workspace": workspace.slug,
        "deployment": deployment.ref,
    }


def _facts(deployment: Deployment) -> dict[str, str]:
    return {"name": deployment.name, "health": deployment.health, "phase": deployment.phase}


def _family(family: Family, samples: Sequence[tuple[Mapping[str, str], float]]) -> list[str]:
    name = f"{family.name}{SUFFIXES[family.kind]}"
    head = [f"# TYPE {family.name} {family.kind}", f"# HELP {family.name} {family.help}"]
    return [*head, *(f"{name}{_in_braces(labels)} {value:.15g}" for labels, value in samples)]


def _in_braces(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
