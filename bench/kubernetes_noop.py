"""A survey of all Deployments of a cluster of which nothing changed, beside the LISTs alone, beside
applying all objects again, and beside kubectl.
"""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.spec import DeploymentSpec
from bench import kubernetes_stage as stage
from bench.kubernetes_stage import seconds_of
from bench.quiet import control_noise
from bench.report import Line, at_most

# A thousand take some minutes to make, so fewer stand for them: all costs grow with their number.
N_DEPLOYMENTS = int(os.environ.get("BENCH_DEPLOYMENTS", "100"))
N_ROUNDS = 5
N_PATCHED = 10  # Deployments whose objects are sent again, to know what all would cost
MOST_OF_LISTS, LEAST_PATCHES = 1.1, 20


def run() -> tuple[list[Line], list[str]]:
    try:
        with stage.cluster() as (plane, config):
            specs = [stage.new_spec() for _ in range(N_DEPLOYMENTS)]
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda spec: stage.apply(spec, config), specs))
            return _measure(config, specs, kubectl=lambda text: plane.kubectl(*APPLY, given=text))
    except stage.LeftOut as left_out:
        return [], [str(left_out)]


APPLY = ("apply", "--server-side", "--force-conflicts", "--field-manager=astro-portal", "-f", "-")


def _measure(
    config: ClusterConfig, specs: list[DeploymentSpec], *, kubectl: Callable[[str], object]
) -> tuple[list[Line], list[str]]:
    raw, plane = stage.Raw(config.connection), KubernetesPlane(config)
    sample = [item for spec in specs[:N_PATCHED] for item in stage.manifests_of(spec, config)]
    times: dict[str, list[float]] = {"looks": [], "lists": [], "patches": [], "passes": []}
    requests, before = raw.list_all(config)
    for _ in range(N_ROUNDS):
        times["lists"].append(seconds_of(lambda: raw.list_all(config)))
        times["looks"].append(seconds_of(lambda: _survey(plane, len(specs))))
        times["passes"].append(seconds_of(lambda: _passes(plane, specs[:N_PATCHED])) / N_PATCHED)
    written = len(raw.list_all(config)[1] - before)
    for _ in range(N_ROUNDS):
        took = seconds_of(lambda: _patch(raw, sample))
        times["patches"].append(took / N_PATCHED * len(specs))
    by_kubectl = seconds_of(lambda: kubectl(as_list(sample))) / N_PATCHED * len(specs)
    raw.close()
    return _lines(len(specs), times, written), [
        *control_noise(times["lists"]),
        f"{requests} LIST requests, {len(sample) // N_PATCHED} objects in each Deployment",
        f"a pass of its own over one Deployment: {median(times['passes']) * 1000:.0f} ms",
        f"kubectl apply --server-side of all: {by_kubectl:.1f} s",
    ]


def _lines(deployments: int, times: dict[str, list[float]], written: int) -> list[Line]:
    name = f"kubernetes no-op, {deployments} Deployments"
    looks, lists, patches = times["looks"], times["lists"], times["patches"]
    to_lists = [mine / other for mine, other in zip(looks, lists, strict=True)]
    to_patches = [mine / other for mine, other in zip(looks, patches, strict=True)]
    return [
        Line(
            name=name,
            ours=_words(looks),
            peer=f"the LISTs alone {_words(lists)}",
            ratio=median(to_lists),
            spread=(min(to_lists), max(to_lists)),
            **at_most(MOST_OF_LISTS, median(to_lists)),
        ),
        Line(
            name=name,
            ours=_words(looks),
            peer=f"raw PATCH of all {_words(patches)}",
            ratio=median(to_patches),
            spread=(min(to_patches), max(to_patches)),
            **at_most(1 / LEAST_PATCHES, median(to_patches)),
        ),
        Line(
            name="kubernetes no-op, objects written",
            ours=str(written),
            goal="0",
            is_met=written == 0,
        ),
    ]


def _survey(plane: KubernetesPlane, expected: int) -> None:
    looks = dict(plane.survey())
    if len(looks) != expected or any(look.is_drifted for look in looks.values()):
        raise RuntimeError("The survey did not see what is there.")


def _passes(plane: KubernetesPlane, specs: list[DeploymentSpec]) -> None:
    for spec in specs:
        plane.apply(spec=spec)


def _patch(raw: stage.Raw, manifests: list[Manifest]) -> None:
    for manifest in manifests:
        raw.patch(manifest)


def as_list(manifests: list[Manifest]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})


def _words(seconds: list[float]) -> str:
    return f"{median(seconds):.2f} s"
