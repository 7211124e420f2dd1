"""The upgrade of Airflow as one action: check, and where the check finds no obstacle, confirm."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from apps.accounts.models import User
from apps.bulk_actions.actions.base import DONE, Action, Outcome, Parameters
from apps.core.errors import Conflict
from apps.core.web.forms import in_this_century
from apps.deployments.models import Deployment
from apps.runtimes.catalogue import offered_runtimes
from apps.upgrades.models import UNDER_WAY, Upgrade, UpgradeState
from apps.upgrades.services import LATEST_DAYS, begin_check, confirm, targets_of

OBSTACLE = "bad"


def _choices() -> list[tuple[str, str]]:
    offered = offered_runtimes(today=timezone.now().date())
    return [(one.version, f"{one.version} (Airflow {one.airflow_version})") for one in offered]


class UpgradeForm(forms.Form):
    target = forms.ChoiceField(label="To the runtime", choices=_choices)
    starts_at = forms.DateTimeField(
        label="Not before",
        required=False,
        help_text="Empty means now. In your time zone. What is checked by then waits for the time.",
        validators=[in_this_century],
        widget=forms.DateTimeInput(
            format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local", "data-width": "m"}
        ),
    )

    def clean(self) -> dict[str, Any]:
        """Keep a time as text, and nothing of one that was left empty: parameters are JSON."""
        cleaned = dict(super().clean() or {})
        starts_at = cleaned.pop("starts_at", None)
        if starts_at is None:
            return cleaned
        now = timezone.now()
        if not now <= starts_at <= now + timedelta(days=LATEST_DAYS):
            self.add_error("starts_at", f"Choose a time within the next {LATEST_DAYS} days.")
        return cleaned | {"starts_at": starts_at.isoformat()}


class UpgradeRuntime(Action):
    key = "upgrade"
    label = "Upgrade Airflow"
    hint = (
        "Each is checked with its own DAGs first and backed up; one with obstacles is left alone."
    )
    form = UpgradeForm

    def change(self, *, deployment: Deployment, parameters: Parameters) -> str:
        target = parameters["target"]
        if target not in {one.version for one in targets_of(deployment)}:
            raise Conflict(f"{target} is no newer runtime for it.")
        if deployment.upgrades.filter(state__in=UNDER_WAY).exists():
            raise Conflict("An upgrade of this Deployment is scheduled or under way.")
        before = deployment.wanted.configuration.runtime if deployment.wanted else ""
        at = _starts_at(parameters)
        when = f", not before {at:%Y-%m-%d %H:%M} UTC" if at else ""
        return f"Runtime: {before} becomes {target}, after a check and a backup{when}."

    def begin(
        self, *, actor: User, deployment: Deployment, parameters: Parameters, secret: str
    ) -> Upgrade:
        return begin_check(
            actor=actor,
            deployment=deployment,
            target=parameters["target"],
            starts_at=_starts_at(parameters),
        )

    def outcome(self, *, actor: User | None, begun: Any) -> Outcome:
        state = begun.state
        if state == UpgradeState.READY:
            return self._decide(actor, begun)
        if state == UpgradeState.DONE:
            return DONE
        if state == UpgradeState.CANCELLED:
            return "The upgrade was cancelled."
        return (begun.failure or "The upgrade failed.") if state == UpgradeState.FAILED else None

    def _decide(self, actor: User | None, upgrade: Upgrade) -> Outcome:
        """Confirm an upgrade whose check found no obstacle, with the rights of now."""
        found = [one["title"] for one in upgrade.findings if one["tone"] == OBSTACLE]
        if found:
            return f"The check found: {'; '.join(found)}. Decide on its own page."
        if actor is None or not actor.has_perm(self.permission, upgrade.deployment):
            return "The person who began it may no longer upgrade it."
        at = upgrade.starts_at
        is_ahead = at is not None and at > timezone.now()
        confirm(actor=actor, upgrade=upgrade, starts_at=at if is_ahead else None)
        return None


def _starts_at(parameters: Parameters) -> datetime | None:
    text = parameters.get("starts_at")
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
