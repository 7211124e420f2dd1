"""Rules and alerts in words, for the pages. Pure."""

from apps.alerts.deliveries.messages import deadline_in_words
from apps.alerts.evaluation.matched import MOST_DAGS, Matched
from apps.alerts.evaluation.models import Alert
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.models import WEEKDAYS, Rule
from apps.core.words import duration_in_words
from apps.observability.incidents.kinds import KINDS

MOST_SUBJECTS, MOST_KINDS = 3, 3


def what_in_words(of: Rule | Alert) -> str:
    """Say what a rule watches, or what an alert is about: "DAG failed", "Task takes longer than 1
    h".
    """
    if isinstance(of, Alert):
        titles = [one["title"] for one in of.subjects.values() if "title" in one]
        return titles[0] if titles else what_in_words(of.rule)
    if of.kind == RuleKind.DAG_LATE:
        days = "" if len(of.weekdays) == 7 else f" on {days_in_words(of.weekdays)}"
        return f"Not finished by {deadline_in_words(of)}{days}"
    if of.limit_seconds is not None and of.about.has_limit:
        what = "Task" if of.about.has_tasks else "DAG"
        return f"{what} takes longer than {duration_in_words(of.limit_seconds)}"
    if of.kind == RuleKind.INCIDENT and of.incident_kinds:
        labels = [KINDS[one].label for one in of.incident_kinds if one in KINDS]
        rest = f" and {len(labels) - MOST_KINDS} more" if len(labels) > MOST_KINDS else ""
        return ", ".join(labels[:MOST_KINDS]) + rest
    if of.kind == RuleKind.INCIDENT:
        return "Any incident"
    return of.get_kind_display()


def days_in_words(days: list[int]) -> str:
    """Write days of the week: "Mon to Fri", "Sat, Sun"."""
    known = sorted(set(days))
    if len(known) > 2 and known == list(range(known[0], known[-1] + 1)):
        return f"{WEEKDAYS[known[0]]} to {WEEKDAYS[known[-1]]}"
    return ", ".join(WEEKDAYS[one] for one in known)


def where_in_words(rule: Rule) -> tuple[str, str]:
    """Say where a rule looks: the Deployments, and the patterns of DAGs and tasks."""
    if rule.deployment is not None:
        place = rule.deployment.name
    else:
        place = rule.deployments or "All Deployments"
    parts = [
        rule.dags and f"DAG {rule.dags}",
        rule.tasks and f"task {rule.tasks}",
        rule.tags and f"tag {rule.tags}",
        rule.without_dags and f"except {rule.without_dags}",
    ]
    return place, ", ".join(part for part in parts if part)


def subjects_in_words(alert: Alert) -> str:
    """Name the newest subjects of an alert."""
    if alert.incident_id is not None:
        return ""
    names = [name for name, _ in alert.newest_subjects(MOST_SUBJECTS)]
    rest = len(alert.subjects) + alert.more - len(names)
    return ", ".join(names) + (f" and {rest:,} more" if rest else "")


def matched_in_words(matched: Matched, rule: Rule) -> tuple[str, str, str]:
    """Say what a rule matches now: a tone, the count, and what it is a count of."""
    where = _where(matched, rule)
    if not matched.deployments:
        return "warn", "Matches no Deployment", "that you may see. New ones that match are included"
    if rule.kind == RuleKind.INCIDENT:
        return "good", f"Matches {_counted(matched.deployments, 'Deployment')}", ""
    if not matched.known:
        return "move", "No DAG is known yet", f"in {where}: new ones that match are included"
    of = f"of the first {MOST_DAGS:,}" if matched.is_cut else f"of {matched.known:,}"
    if not matched.dags:
        return "warn", "Matches no DAG", f"{of} in {where}. New ones that match are included"
    return "good", f"Matches {_counted(matched.dags, 'DAG')}", f"{of} in {where}"


def matches_in_words(matched: Matched, rule: Rule) -> tuple[str, str]:
    """Say what a rule matches now, in a list: the count, and what else there is to know of it."""
    if rule.kind == RuleKind.INCIDENT:
        return _counted(matched.deployments, "Deployment"), ""
    count = _counted(matched.dags, "DAG")
    if matched.is_cut:
        return f"At least {count}", f"of the first {matched.known:,}"
    return count, f"{matched.paused:,} paused" if matched.paused else ""


def is_of_no_dag(matched: Matched, rule: Rule) -> bool:
    """Return whether a rule names DAGs of which none is known: renamed, deleted or misspelt. One
    with a `*` in a name is about what will come, too.
    """
    is_none = not matched.dags and not matched.is_cut
    return rule.kind != RuleKind.INCIDENT and is_none and bool(rule.dags) and "*" not in rule.dags


def _where(matched: Matched, rule: Rule) -> str:
    if rule.deployment is not None:
        return rule.deployment.name
    return _counted(matched.deployments, "Deployment")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
