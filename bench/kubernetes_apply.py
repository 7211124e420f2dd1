"""New Deployments and edits put on a cluster by the driver, beside the same requests sent plainly,
and beside kubectl.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median, quantiles
from threading import local

from apps.dataplane.kubernetes.api.kinds import Manifest, object_id
from apps.dataplane.kubernetes.api.parallel import AT_ONCE
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.render.stages import waves
from apps.dataplane.spec import DeploymentSpec, VariableSpec
from bench import kubernetes_stage as stage
from bench.kubernetes_noop import APPLY, as_list
from bench.kubernetes_stage import seconds_of
from bench.quiet import control_noise
from bench.report import Line, at_least, at_most

N_ROUNDS, N_NEW, N_EDITED = 5, 3, 4
LEAST_OF_RAW, LEAST_OBJECTS_PER_SECOND, MOST_OF_RAW = 0.9, 150, 2


def run() -> tuple[list[Line], list[str]]:
    try:
        with stage.cluster() as (plane, config):
            return _measure(config, kubectl=lambda text: plane.kubectl(*APPLY, given=text))
    except stage.LeftOut as left_out:
        return [], [str(left_out)]


def _measure(
    config: ClusterConfig, *, kubectl: Callable[[str], object]
) -> tuple[list[Line], list[str]]:
    raw, plainly = stage.Raw(config.connection), Plainly(config)
    ours: list[float] = []
    plain: list[float] = []
    edits: dict[str, list[float]] = {"driver": [], "all": [], "changed": []}
    edited, peers = _made(N_EDITED, config), _made(N_EDITED, config)
    for number in range(N_ROUNDS):
        for _ in range(N_NEW):
            ours.append(seconds_of(lambda: _made(1, config)))
            plain.append(seconds_of(plainly.make))
        for spec, peer in zip(edited, peers, strict=True):
            new = _edited(spec, number)
            edits["driver"].append(seconds_of(lambda new=new: stage.apply(new, config)))
            every, changed = _edit_plainly(peer, number, config)
            edits["changed"].append(seconds_of(lambda c=changed: [raw.patch(one) for one in c]))
            edits["all"].append(seconds_of(lambda e=every: [raw.patch(one) for one in e]))
    raw.close()
    plainly.close()
    manifests = stage.manifests_of(stage.new_spec(), config)
    by_kubectl = seconds_of(lambda: kubectl(as_list(manifests)))
    size = len(manifests)
    return [
        _throughput(size / _quick(ours), size / _quick(plain)),
        _change(edits, "all", "the same objects"),
        _change(edits, "changed", "what changed"),
    ], [
        *control_noise([sum(plain[n::N_ROUNDS]) for n in range(N_ROUNDS)]),
        f"{len(manifests)} objects in each Deployment, {AT_ONCE} requests at a time",
        f"kubectl apply --server-side of a new one: {len(manifests) / by_kubectl:.0f} objects/s",
    ]


def _quick(seconds: list[float]) -> float:
    """Return the lower quartile: what a shared machine can do when it is not busy."""
    return quantiles(seconds, n=4)[0]


def _throughput(ours: float, plain: float) -> Line:
    goal = at_least(LEAST_OF_RAW, ours / plain)
    if plain >= LEAST_OBJECTS_PER_SECOND > ours:
        goal = {"goal": f">= {LEAST_OBJECTS_PER_SECOND} objects/s", "is_met": False}
    return Line(
        name="kubernetes apply throughput",
        ours=f"{ours:.0f} objects/s",
        peer=f"raw PATCH {plain:.0f} objects/s",
        ratio=ours / plain,
        **goal,
    )


def _change(edits: dict[str, list[float]], peer: str, words: str) -> Line:
    """Compare an edit by the driver with a plain one; the goal is about sending the same objects,
    because without an inventory it is unknown what changed.
    """
    mine, other = median(edits["driver"]), median(edits[peer])
    goal = at_most(MOST_OF_RAW, mine / other) if peer == "all" else {}
    return Line(
        name="kubernetes change to applied, p50",
        ours=f"{mine * 1000:.0f} ms",
        peer=f"raw PATCH of {words} {other * 1000:.0f} ms",
        ratio=mine / other,
        **goal,
    )


def _made(number: int, config: ClusterConfig) -> list[DeploymentSpec]:
    specs = [stage.new_spec() for _ in range(number)]
    for spec in specs:
        stage.apply(spec, config)
    return specs


class Plainly:
    """Sends the same objects in the same order, as many at a time as the driver."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._mine = local()
        self._connections: list[stage.Raw] = []
        self._pool = ThreadPoolExecutor(AT_ONCE, initializer=self._connect)

    def make(self) -> None:
        for wave in waves(stage.stages_of(stage.new_spec(), self._config)):
            list(self._pool.map(self._patch, [one for part in wave for one in part.objects]))

    def close(self) -> None:
        self._pool.shutdown()
        for connection in self._connections:
            connection.close()

    def _connect(self) -> None:
        self._mine.raw = stage.Raw(self._config.connection)
        self._connections.append(self._mine.raw)

    def _patch(self, manifest: Manifest) -> None:
        self._mine.raw.patch(manifest)


def _edit_plainly(
    spec: DeploymentSpec, number: int, config: ClusterConfig
) -> tuple[list[Manifest], list[Manifest]]:
    """Return all objects of the next edit, and those that differ from the one before."""
    last = _edited(spec, number - 1) if number else spec
    before = {object_id(one): one for one in stage.manifests_of(last, config)}
    after = stage.manifests_of(_edited(spec, number), config)
    return after, [one for one in after if before.get(object_id(one)) != one]


def _edited(spec: DeploymentSpec, number: int) -> DeploymentSpec:
    variable = VariableSpec(key="LIMIT", value=str(number), is_secret=False)
    return replace(spec, revision=number + 2, variables=(variable,))
