"""Replays of a queue: what must hold for any, and that a real one is reproduced."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from apps.observability.scaling import recorded
from apps.observability.scaling.recommendation import cost, recommend
from apps.observability.scaling.simulation import (
    Demand,
    Outcome,
    Point,
    Settings,
    Steps,
    arrived,
    simulate,
    workers_needed,
)
from tests.observability.example_scaling import (
    RECORDED,
    SECONDS,
    recorded_decisions,
    rows_of,
)

CALM = Settings(concurrency=4, min_workers=1, max_workers=5, cooldown_seconds=300)


def made_up(seed: int, *, start_seconds: float = 0.0) -> Demand:
    """Return an hour of a queue that had three workers of four slots: bursts, calm, and a gap."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    points, tasks = [], 0
    for at in range(0, 3600, 30):
        tasks = max(0, tasks + chance.choice((0, 0, -4, -2, 1, 3, 25)))
        running = min(tasks, 12)
        is_gap = 1500 <= at < 1620
        known = None if is_gap else (float(tasks - running), float(running))
        points.append(Point(at=float(at), tasks=known))
    return Demand(
        points=tuple(points),
        end=3600.0,
        task_seconds=chance.choice((20.0, 45.0, 400.0)),
        starts=((0.0, start_seconds),),
    )


def changed(settings: Settings, **changes: int) -> Settings:
    return Settings(**{**settings.__dict__, **changes})


def tasks_at(outcome: Outcome, at: float) -> float:
    return (outcome.waiting.at(at) or 0.0) + (outcome.held.at(at) or 0.0)


def test_workers_are_counted_by_the_formula_of_the_planes():
    table = [(0, 1), (1, 1), (4, 1), (5, 2), (20, 5), (21, 5), (4.4, 1), (4.5, 2)]

    assert [workers_needed(CALM, tasks=tasks) for tasks, _ in table] == [n for _, n in table]
    assert workers_needed(changed(CALM, min_workers=0), tasks=0) == 0


@pytest.mark.parametrize("seed", range(8))
def test_the_slots_that_there_were_give_the_tasks_that_there_were(seed: int):
    demand = made_up(seed)
    settings = changed(CALM, min_workers=3, max_workers=3)

    outcome = simulate(demand, settings)

    for point in demand.points:
        if point.tasks is None:
            assert outcome.workers.at(point.at) is None
        else:
            assert tasks_at(outcome, point.at) == pytest.approx(sum(point.tasks), abs=0.01)
            assert outcome.waiting.at(point.at) == pytest.approx(point.tasks[0], abs=0.01)
    assert outcome.arrived == pytest.approx(arrived(demand))


@pytest.mark.parametrize("seed", range(8))
def test_workers_stay_within_bounds_and_no_task_is_lost_or_negative(seed: int):
    usual = made_up(seed, start_seconds=20)
    least = changed(CALM, min_workers=0, max_workers=1, cooldown_seconds=0)
    for demand, settings in (
        (usual, CALM),
        (usual, least),
        (replace(usual, keeps_peak=True), CALM),
        (replace(usual, keeps_peak=True), least),
    ):
        outcome = simulate(demand, settings, began_with=99)

        known = [value for value in outcome.workers.values if value is not None]
        assert min(known) >= settings.min_workers
        assert max(known) <= settings.max_workers
        for queued, running in zip(outcome.waiting.values, outcome.held.values, strict=True):
            assert (queued is None) == (running is None)
            assert queued is None or (queued >= 0 and running <= settings.max_workers * 4)
        assert all(one < other for one, other in pairwise(outcome.workers.times))


@pytest.mark.parametrize("seed", range(8))
def test_more_of_a_setting_never_does_less(seed: int):
    demand = made_up(seed)

    def told(name: str, values: tuple[int, ...]) -> list[Outcome]:
        return [simulate(demand, changed(CALM, **{name: value})) for value in values]

    for name, values in (("min_workers", (0, 1, 3, 5)), ("cooldown_seconds", (0, 60, 600, 9999))):
        hours = [outcome.worker_hours for outcome in told(name, values)]
        # A worker that is there at once ends tasks sooner, for which fewer are wanted later.
        assert all(less <= more * 1.05 for less, more in pairwise(hours)), name
        assert hours[-1] >= hours[0], name
    for name, values in (("max_workers", (1, 2, 4, 9)), ("concurrency", (1, 2, 4, 16))):
        waits = [outcome.wait_seconds for outcome in told(name, values)]
        for less, more in pairwise(reversed(waits)):
            assert less <= more + 1e-6, name


def test_fewer_workers_come_one_cooldown_after_the_last_need():
    points = (Point(at=0, tasks=(0, 8)), Point(at=60, tasks=(0, 2)), Point(at=100, tasks=(0, 2)))
    demand = Demand(points=points, end=600, task_seconds=10_000)

    outcome = simulate(demand, changed(CALM, cooldown_seconds=120))

    assert outcome.workers.at(0) == 2
    assert outcome.workers.at(179) == 2
    assert outcome.workers.at(181) == outcome.workers.at(599) == 1
    assert outcome.workers.at(600) is None


@pytest.mark.parametrize("keeps_peak", [False, True])
def test_each_plane_scales_down_by_its_own_rule(keeps_peak: bool):
    needs = ((0, 16), (60, 4), (120, 8), (150, 4), (400, 4))
    points = tuple(Point(at=float(at), tasks=(0.0, float(tasks))) for at, tasks in needs)
    demand = Demand(points=points, end=600, task_seconds=1e6, keeps_peak=keeps_peak)

    outcome = simulate(demand, changed(CALM, cooldown_seconds=120))

    told = [outcome.workers.at(at) for at in (0, 179, 181, 269, 271, 599)]
    # The keeper goes to what is needed at once, the autoscaler by way of the last two minutes.
    assert told == ([4, 4, 2, 2, 1, 1] if keeps_peak else [4, 4, 1, 1, 1, 1])


def test_a_worker_takes_tasks_only_once_it_has_started():
    points = (Point(at=0, tasks=(0, 0)), Point(at=30, tasks=(4, 0)), Point(at=60, tasks=(4, 0)))
    demand = Demand(points=points, end=90, task_seconds=60, starts=((0, 10),))

    outcome = simulate(demand, changed(CALM, min_workers=0))

    assert (outcome.workers.at(30), outcome.held.at(30)) == (1, 0)
    assert outcome.held.at(41) == pytest.approx(4, abs=0.1)
    assert 10 <= outcome.waiting.total() / 4 <= 15


def test_nothing_known_is_nothing_said():
    gap = Demand(points=(Point(at=0, tasks=None),), end=60, task_seconds=60)

    for demand in (gap, Demand(points=(), end=60, task_seconds=60)):
        outcome = simulate(demand, CALM)
        assert (outcome.worker_hours, outcome.wait_seconds, outcome.workers.peak()) == (0, 0, 0)
    assert Steps(times=(), values=(), end=1).at(0) is None


def test_a_recorded_run_is_reproduced_within_five_percent():
    decisions = rows_of(recorded_decisions(begin=0.0))
    points = {at: (float(queued), float(running)) for at, queued, running in RECORDED["samples"]}
    for one in decisions:
        points[one.at.timestamp()] = (float(one.queued or 0), float(one.running or 0))
    slots = Steps(
        times=tuple(one.at.timestamp() for one in decisions),
        values=tuple(2.0 * (one.ready or 0) for one in decisions),
        end=float(SECONDS),
    )
    demand = Demand(
        points=tuple(
            Point(at=at, tasks=points[at], slots=slots.at(at)) for at in sorted(points) if at >= 0
        ),
        end=float(SECONDS),
        task_seconds=15.0,
        starts=recorded.starts_of(decisions),
    )
    held = recorded.settings_of(decisions[-1])

    was = recorded.workers_of(workers=None, decisions=decisions, begin=0.0, end=float(SECONDS))
    replay = simulate(demand, held)

    assert replay.worker_hours == pytest.approx(was.total() / 3600, rel=0.05)
    apart = sum(abs((replay.workers.at(at) or 0) - (was.at(at) or 0)) for at in range(SECONDS))
    assert apart / was.total() <= 0.1
    assert replay.workers.peak() == was.peak() == 3
    fewer = simulate(demand, changed(held, max_workers=1))
    # The workers that were added came late: most tasks were done by the first one.
    assert replay.wait_seconds < fewer.wait_seconds < 1.5 * replay.wait_seconds
    assert fewer.worker_hours < replay.worker_hours


def steady(tasks: tuple[float, float], *, slots: float) -> Demand:
    """Return two hours in which as many tasks are there all the time, each of a minute."""
    points = (Point(at=float(at), tasks=tasks, slots=slots) for at in range(0, 7200, 30))
    return Demand(points=tuple(points), end=7200.0, task_seconds=60.0)


def test_what_is_recommended_costs_less_than_what_was():
    idle = changed(CALM, min_workers=5)
    full = changed(CALM, max_workers=1)

    fewer = recommend(steady((0, 2), slots=20), idle, most_workers=10)
    more = recommend(steady((12, 4), slots=4), full, most_workers=10)

    assert fewer.is_change
    assert fewer.settings.min_workers <= 1
    assert "8.0 worker hours less" in fewer.why
    assert more.is_change
    assert more.settings.max_workers > 1
    assert "less on average" in more.why
    for advice, settings, demand in (
        (fewer, idle, steady((0, 2), slots=20)),
        (more, full, steady((12, 4), slots=4)),
    ):
        assert cost(advice.outcome) < cost(simulate(demand, settings))
        assert advice.settings.concurrency == settings.concurrency
        assert advice.settings.cooldown_seconds == settings.cooldown_seconds


def test_nothing_is_recommended_where_nothing_is_better_or_too_little_known():
    good = changed(CALM, min_workers=1, max_workers=1)
    few = Demand(points=(Point(at=0, tasks=(1, 1)),), end=60, task_seconds=600)

    same = recommend(steady((0, 4), slots=4), good, most_workers=10)
    unknown = recommend(few, CALM, most_workers=10)

    assert (same.is_change, unknown.is_change) == (False, False)
    assert same.settings == good
    assert "too few" in unknown.why
    most = recommend(steady((400, 4), slots=4), good, most_workers=3)
    assert most.settings.max_workers <= 3
