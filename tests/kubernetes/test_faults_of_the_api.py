"""An API server that is busy, fails, cuts, drips or is silent: faults 13 to 16.

The plane goes through a door that misbehaves; kubectl, which does not, says how it ended.
"""

import time
from itertools import pairwise

import pytest

from apps.dataplane.errors import Temporary, Unreachable
from apps.dataplane.kubernetes.api import client
from apps.dataplane.kubernetes.api.errors import Throttled
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.kubernetes.render import render
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import differences, generations, settle, small_spec
from tests.kubernetes.fault_proxy import FaultProxy
from tests.kubernetes.faults import (
    Answer,
    BlackHole,
    CutAfter,
    CutBefore,
    CutInside,
    DropReply,
    Fault,
    Garbage,
    Slow,
    Trickle,
)


@pytest.fixture
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> float:
    """Give every call 2 seconds, to see without waiting that a call has an end."""
    for name in ("READ_SECONDS", "LIST_SECONDS", "WRITE_SECONDS"):
        monkeypatch.setattr(client, name, 2.0)
    return 2.0


def test_a_busy_api_server_is_asked_again_when_it_said(
    faulty: FaultProxy,
    faulty_plane: KubernetesPlane,
    faulty_config: ClusterConfig,
    control_plane: ControlPlane,
    ref: str,
) -> None:
    faulty.fail(Answer(429, {"Retry-After": "1"}), method="PATCH", times=8)

    settle(faulty_plane, small_spec(ref), seconds=40)

    pauses = []
    for path in {call.path for call in faulty.calls_of("PATCH")}:
        calls = faulty.calls_of("PATCH", f"{path}$")
        pauses += [late.at - early.at for early, late in pairwise(calls) if early.status == 429]
    assert len(pauses) == 8
    assert all(1.0 <= pause < 5 for pause in pauses)
    assert differences(control_plane, faulty_config, small_spec(ref)) == ""


def test_an_api_server_that_wants_a_long_rest_gets_it(
    faulty: FaultProxy, faulty_plane: KubernetesPlane, ref: str
) -> None:
    faulty.fail(Answer(429, {"Retry-After": "300"}))
    started = time.monotonic()

    with pytest.raises(Throttled) as raised:
        faulty_plane.apply(spec=small_spec(ref))

    assert time.monotonic() - started < 2
    assert raised.value.retry_after_seconds == 300
    assert faulty.count() == 1


@pytest.mark.parametrize("status", [500, 503])
def test_an_api_server_that_fails_at_a_third_of_all_calls_delays_and_no_more(
    faulty: FaultProxy,
    faulty_plane: KubernetesPlane,
    faulty_config: ClusterConfig,
    control_plane: ControlPlane,
    ref: str,
    status: int,
) -> None:
    spec = small_spec(ref)
    objects = sum(len(stage.objects) for stage in render(spec=spec, config=faulty_config))
    faulty.fail(Answer(status), chance=0.3)

    settle(faulty_plane, spec, seconds=60)

    assert differences(control_plane, faulty_config, spec) == ""
    assert len(faulty.writes()) < 3 * objects
    assert set(generations(control_plane, ref).values()) == {1}


@pytest.mark.parametrize("fault", [CutAfter(), CutInside(), CutBefore()])
def test_a_change_whose_answer_is_lost_is_made_once(
    faulty: FaultProxy,
    faulty_plane: KubernetesPlane,
    faulty_config: ClusterConfig,
    control_plane: ControlPlane,
    ref: str,
    fault: Fault,
) -> None:
    spec = small_spec(ref)
    faulty.fail(fault, method="PATCH", chance=0.4)

    settle(faulty_plane, spec, seconds=60)

    assert any(call.fault for call in faulty.calls)
    assert differences(control_plane, faulty_config, spec) == ""
    assert set(generations(control_plane, ref).values()) == {1}
    jobs = control_plane.objects("jobs", namespace_of(ref))
    assert len(jobs) == 1


@pytest.mark.usefixtures("short_deadlines")
def test_a_change_whose_answer_never_comes_is_made_once(
    faulty: FaultProxy,
    faulty_plane: KubernetesPlane,
    faulty_config: ClusterConfig,
    control_plane: ControlPlane,
    ref: str,
) -> None:
    spec = small_spec(ref)
    faulty.fail(DropReply(), method="PATCH", path="/deployments/scheduler", times=1)

    settled = settle(faulty_plane, spec, seconds=40)

    assert isinstance(settled.errors[0], Unreachable)
    assert differences(control_plane, faulty_config, spec) == ""
    assert generations(control_plane, ref)["scheduler"] == 1


@pytest.mark.parametrize(
    "fault",
    [Slow(30), BlackHole(), Trickle(0.05), Trickle(0.1, is_head_too=True)],
    ids=["slow", "black hole", "trickle", "trickle from the head on"],
)
@pytest.mark.parametrize("act", ["apply", "observe", "delete"])
def test_a_slow_api_server_holds_nobody_longer_than_a_call_may_last(
    faulty: FaultProxy,
    faulty_plane: KubernetesPlane,
    short_deadlines: float,
    ref: str,
    fault: Fault,
    act: str,
) -> None:
    acts = {
        "apply": lambda: faulty_plane.apply(spec=small_spec(ref)),
        "observe": lambda: faulty_plane.observe(ref=ref),
        "delete": lambda: faulty_plane.delete(ref=ref),
    }
    faulty.fail(fault)
    started = time.monotonic()

    with pytest.raises(Unreachable, match="did not answer in time"):
        acts[act]()

    assert time.monotonic() - started < short_deadlines + 1.5


@pytest.mark.usefixtures("short_deadlines")
def test_a_silent_cluster_is_found_out_in_seconds(
    faulty: FaultProxy, faulty_plane: KubernetesPlane
) -> None:
    faulty.fail(BlackHole())
    started = time.monotonic()

    with pytest.raises(Unreachable):
        faulty_plane.reach()
    check = faulty_plane.check()

    assert not check.is_usable
    assert time.monotonic() - started < 12


def test_what_is_no_api_server_is_told_in_a_sentence(
    faulty: FaultProxy, faulty_plane: KubernetesPlane, ref: str
) -> None:
    faulty.fail(Garbage())

    with pytest.raises(Temporary, match="not JSON"):
        faulty_plane.apply(spec=small_spec(ref))

    check = faulty_plane.check()
    assert not check.is_usable
    assert all(finding.detail or finding.remedy for finding in check.findings if not finding.is_ok)


def test_a_lost_answer_to_a_deletion_is_no_harm(
    faulty: FaultProxy, faulty_plane: KubernetesPlane, control_plane: ControlPlane, ref: str
) -> None:
    settle(faulty_plane, small_spec(ref))
    faulty.fail(CutAfter(), method="DELETE", chance=0.5)

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if faulty_plane.delete(ref=ref).is_done:
                break
        except Temporary:
            continue
        time.sleep(0.5)

    assert not control_plane.exists("namespace", namespace_of(ref))
    assert not faulty_plane.observe(ref=ref).exists
