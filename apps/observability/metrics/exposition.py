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
Samples = Sequence[tuple[Mapping[str, str], float]]
Named = Sequence[tuple[dict[str, str], Measured]]
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
    named = _named(found)
    yield _family(INFO, [({**base, **_facts(one.deployment)}, 1.0) for base, one in named])
    for family, samples in _state(named):
        yield _family(family, samples)
    for family in GAUGES:
        yield _family(
            family, [sample for base, one in named for sample in _parts(family, base, one)]
        )
    for family, samples in _ended(named):
        yield _family(family, samples)


def totals_of(found: Sequence[Measured]) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Yield what is of a whole Deployment and not measured in samples: name, labels, value."""
    named = _named(found)
    for family, samples in (*_state(named), *_ended(named)):
        yield from ((suffixed(family), labels, value) for labels, value in samples)


def _named(found: Sequence[Measured]) -> Named:
    return [(labels_of(one.deployment), one) for one in found]


def _state(named: Named) -> Iterator[tuple[Family, Samples]]:
    healthy = Health.HEALTHY
    yield HEALTHY, [(base, float(one.deployment.health == healthy)) for base, one in named]
    yield INCIDENTS, [(base, float(one.deployment.open_incidents)) for base, one in named]
    answered = [(base, one.answered_at) for base, one in named]
    yield ANSWERED, [(base, at.timestamp()) for base, at in answered if at]


def _ended(named: Named) -> Iterator[tuple[Family, Samples]]:
    for counted in COUNTERS:
        samples: Samples = [
            ({**base, "result": result}, one.ended[metric])
            for base, one in named
            for result, metric in counted.results
            if metric in one.ended
        ]
        yield counted.family, samples


def _parts(
    family: Family, base: Mapping[str, str], one: Measured
) -> Iterator[tuple[Mapping[str, str], float]]:
    parts = sorted(part for metric, part in one.values if metric == family.metric)
    for part in parts[:MOST_PARTS]:
        label = {family.label: part} if family.label else {}
        yield {**base, **label}, one.values[family.metric, part] * family.factor


def labels_of(deployment: Deployment) -> dict[str, str]:
    """Return the labels that name a Deployment in every series."""
    workspace = deployment.workspace
    return {
        "organization": workspace.organization.slug,
        "workspace": workspace.slug,
        "deployment": deployment.ref,
    }


def _facts(deployment: Deployment) -> dict[str, str]:
    return {"name": deployment.name, "health": deployment.health, "phase": deployment.phase}


def suffixed(family: Family) -> str:
    """Return the name that the samples of a family have."""
    return f"{family.name}{SUFFIXES[family.kind]}"


def _family(family: Family, samples: Samples) -> list[str]:
    name = suffixed(family)
    head = [f"# TYPE {family.name} {family.kind}", f"# HELP {family.name} {family.help}"]
    return [*head, *(f"{name}{_in_braces(labels)} {value:.15g}" for labels, value in samples)]


def _in_braces(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
