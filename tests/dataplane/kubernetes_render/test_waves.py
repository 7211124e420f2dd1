"""What is applied together needs nothing of each other."""

import pytest

from apps.dataplane.kubernetes.render import Stage, render
from apps.dataplane.kubernetes.render.stages import waves
from tests.dataplane.kubernetes_render.matrix import CASES

STARTS_PODS = {"Deployment", "StatefulSet", "Job", "CronJob"}
COMES_BEFORE_PODS = {
    "ConfigMap",
    "LimitRange",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "Secret",
    "ServiceAccount",
}


def _stage(key: str, *, waits: bool = False, free: bool = False) -> Stage:
    return Stage(key=key, title=key, objects=({"kind": key},), waits=waits, free=free)


def _kinds(wave: list[Stage]) -> set[str]:
    return {item["kind"] for stage in wave for item in stage.objects}


def test_free_stages_go_with_the_one_before_unless_it_waits() -> None:
    stages = [
        _stage("a"),
        _stage("b", free=True),
        _stage("c", waits=True, free=True),
        _stage("d", free=True),
        _stage("e"),
    ]

    keys = [[stage.key for stage in wave] for wave in waves(stages)]

    assert keys == [["a", "b", "c"], ["d"], ["e"]]


@pytest.mark.parametrize("case", CASES)
def test_every_stage_is_in_one_wave_and_in_its_order(case: str) -> None:
    spec, config = CASES[case]
    stages = render(spec=spec, config=config)

    joined = waves(stages)

    assert [stage for wave in joined for stage in wave] == list(stages)
    assert len(joined) < len(stages)
    assert not any(stage.waits for wave in joined for stage in wave[:-1])


@pytest.mark.parametrize("case", CASES)
def test_pods_start_in_a_later_wave_than_what_they_need(case: str) -> None:
    spec, config = CASES[case]

    for wave in waves(render(spec=spec, config=config)):
        if len(wave) > 1 and _kinds(wave) & STARTS_PODS:
            assert not _kinds(wave) & COMES_BEFORE_PODS


@pytest.mark.parametrize("case", CASES)
def test_a_namespace_is_there_before_anything_in_it(case: str) -> None:
    spec, config = CASES[case]

    alone = [
        wave for wave in waves(render(spec=spec, config=config)) if "Namespace" in _kinds(wave)
    ]

    assert alone
    assert all(_kinds(wave) == {"Namespace"} for wave in alone)


@pytest.mark.parametrize("case", CASES)
def test_an_autoscaler_comes_after_what_it_scales(case: str) -> None:
    spec, config = CASES[case]

    for wave in waves(render(spec=spec, config=config)):
        if "ScaledObject" in _kinds(wave):
            assert "Deployment" not in _kinds(wave)
