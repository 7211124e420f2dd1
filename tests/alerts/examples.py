"""Rules, channels and results for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from apps.alerts.channels.models import Channel
from apps.alerts.channels.services import ChannelData, create_channel
from apps.alerts.places import Place, fields_of
from apps.alerts.rules.models import Rule
from apps.deployments.models import Deployment
from apps.observability.results.models import RunResult
from apps.observability.results.reading import Result, Results
from apps.observability.results.storage import write_results

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def make_channel(place: Place, actor: Any, kind: str = "email", **data: Any) -> Channel:
    given = {
        "email": {"to": ("oncall@example.org",)},
        "slack": {"url": "https://hooks.slack.example/T0/B0/slack-secret"},
        "teams": {"url": "https://teams.example/workflows/teams-secret"},
        "pagerduty": {"key": "pagerduty-secret"},
        "opsgenie": {"key": "opsgenie-secret"},
        "dag": {"dag": "page_oncall"},
        "slack-app": {"key": "xoxb-slack-secret", "room": "C0123ABCD"},
        "webhook": {"url": "https://ops.example.org/in", "key": "webhook-secret-16"},
    }[kind]
    entered = ChannelData(**{"name": f"{kind} channel", **given, **data})
    return create_channel(actor=actor, place=place, kind=kind, data=entered)


def make_rule(
    place: Place, kind: str = "dag-failed", *, channels: list[Channel] | None = None, **fields: Any
) -> Rule:
    given: dict[str, Any] = {"name": f"Rule about {kind}", "since": NOW - timedelta(days=1)}
    if kind.endswith("slow"):
        given["limit_seconds"] = 600
    rule = Rule.objects.create(**fields_of(place), kind=kind, **{**given, **fields})
    rule.channels.set(channels or [])
    return rule


def ended(
    deployment: Deployment,
    dag_id: str = "orders",
    *,
    run: str = "one",
    at: datetime = NOW,
    task: str = "",
    seconds: float = 30,
    is_failed: bool = True,
    **fields: Any,
) -> None:
    """Store the end of a run or a task as the collector does."""
    result = Result(
        dag_id=dag_id,
        run_id=run,
        task_id=task,
        map_index=-1,
        is_failed=is_failed,
        started_at=at - timedelta(seconds=seconds),
        ended_at=at,
        **fields,
    )
    told = Results(ended=(result,), running=(), listed_until=at, next_from=at)
    write_results(deployment_id=deployment.pk, results=told)


def succeeded(deployment: Deployment, dag_id: str = "orders", **fields: Any) -> None:
    ended(deployment, dag_id, is_failed=False, **fields)


def untaken() -> int:
    return RunResult.objects.filter(is_taken=False).count()
