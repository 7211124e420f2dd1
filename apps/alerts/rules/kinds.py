"""The kinds of rules."""

from dataclasses import dataclass

from django.db.models import TextChoices


class RuleKind(TextChoices):
    DAG_FAILED = "dag-failed", "DAG failed"
    TASK_FAILED = "task-failed", "Task failed"
    DAG_LATE = "dag-late", "Deadline missed"
    DAG_SLOW = "dag-slow", "DAG takes too long"
    TASK_SLOW = "task-slow", "Task takes too long"
    DAG_SUCCEEDED = "dag-succeeded", "DAG succeeded"
    BUDGET_SPENT = "budget-spent", "Error budget spent"
    INCIDENT = "incident", "Incident"


class Grouping(TextChoices):
    DEPLOYMENT = "deployment", "One for all DAGs of a Deployment"
    DAG = "dag", "One for each DAG"


@dataclass(frozen=True, kw_only=True)
class About:
    """What a kind is about. A moment is over at once: it is never resolved."""

    hint: str
    icon: str
    has_tasks: bool = False
    has_limit: bool = False
    is_moment: bool = False


ABOUT: dict[str, About] = {
    RuleKind.DAG_FAILED: About(hint="A run ended and failed.", icon="bad"),
    RuleKind.TASK_FAILED: About(
        hint="A task failed after its last retry.", icon="bad", has_tasks=True
    ),
    RuleKind.DAG_LATE: About(hint="No run has succeeded by a time of day.", icon="clock"),
    RuleKind.DAG_SLOW: About(hint="A run lasts longer than a limit.", icon="wait", has_limit=True),
    RuleKind.TASK_SLOW: About(
        hint="A task lasts longer than a limit.", icon="wait", has_tasks=True, has_limit=True
    ),
    RuleKind.DAG_SUCCEEDED: About(hint="A run succeeded.", icon="good", is_moment=True),
    RuleKind.BUDGET_SPENT: About(
        hint="A DAG failed more often than its objective allows.", icon="history"
    ),
    RuleKind.INCIDENT: About(
        hint="The portal found something wrong with a Deployment.", icon="incidents"
    ),
}
