"""Putting Deployments to sleep and waking them."""

from datetime import timedelta

from django import forms
from django.utils import timezone

from apps.accounts.models import User
from apps.bulk_actions.actions.base import Action, Parameters
from apps.core.errors import Conflict
from apps.deployments.editing.hibernating import hibernate, wake
from apps.deployments.models import Deployment, Operation, RevisionState
from apps.hibernation.forms import DURATIONS

HIBERNATES, IS_AWAKE = "It hibernates already.", "It is awake already."


class DurationForm(forms.Form):
    hours = forms.ChoiceField(
        label="Hibernate",
        choices=DURATIONS,
        required=False,
        widget=forms.Select(attrs={"data-width": "m"}),
    )


class Hibernate(Action):
    key = "hibernate"
    label = "Hibernate"
    hint = "Running tasks finish first, then everything stops but the data."
    form = DurationForm

    def change(self, *, deployment: Deployment, parameters: Parameters) -> str:
        if deployment.is_hibernating:
            raise Conflict(HIBERNATES)
        _refuse_what_failed(deployment)
        words = dict(DURATIONS)[parameters["hours"]]
        return f"It hibernates {words[0].lower()}{words[1:]}."

    def begin(
        self, *, actor: User, deployment: Deployment, parameters: Parameters, secret: str
    ) -> Operation:
        now, hours = timezone.now(), parameters["hours"]
        until = now + timedelta(hours=int(hours)) if hours else None
        begun = hibernate(actor=actor, deployment=deployment, until=until, now=now)
        return _followed(deployment, begun)


class WakeUp(Action):
    key = "wake"
    label = "Wake up"
    hint = "Schedules hold again from when they would have woken it."

    def change(self, *, deployment: Deployment, parameters: Parameters) -> str:
        if not deployment.is_hibernating:
            raise Conflict(IS_AWAKE)
        _refuse_what_failed(deployment)
        return "It wakes up."

    def begin(
        self, *, actor: User, deployment: Deployment, parameters: Parameters, secret: str
    ) -> Operation:
        begun = wake(actor=actor, deployment=deployment, now=timezone.now())
        return _followed(deployment, begun)


def _refuse_what_failed(deployment: Deployment) -> None:
    if deployment.wanted is None or deployment.wanted.state != RevisionState.APPLIED:
        raise _unfinished(deployment)


def _followed(deployment: Deployment, begun: Operation | None) -> Operation:
    """Return the operation to follow. Raises Conflict where something came in between."""
    if begun is None:
        raise _unfinished(deployment)
    return begun


def _unfinished(deployment: Deployment) -> Conflict:
    return Conflict(f"{deployment.name} was not applied completely. Retry that first.")
