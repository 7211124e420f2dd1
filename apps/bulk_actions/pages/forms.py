from collections.abc import Iterable
from typing import Any

from django import forms

from apps.bulk_actions.services import AT_ONCE, MOST_AT_ONCE
from apps.deployments.models import Deployment


class RunForm(forms.Form):
    """Which Deployments, and how."""

    deployments = forms.TypedMultipleChoiceField(coerce=int, widget=forms.CheckboxSelectMultiple)
    at_once = forms.IntegerField(
        label="At a time",
        min_value=1,
        max_value=MOST_AT_ONCE,
        initial=AT_ONCE,
        widget=forms.NumberInput(attrs={"data-width": "s"}),
    )
    stops_on_failure = forms.BooleanField(
        label="Stop when one fails",
        required=False,
        initial=True,
        help_text="Those that run go on; nothing further begins until you decide.",
    )

    def __init__(self, data: Any, *, found: Iterable[Deployment], shows_workspace: bool) -> None:
        found = list(found)
        super().__init__(data, initial={"deployments": [one.pk for one in found]})
        field: Any = self.fields["deployments"]
        field.choices = [
            (one.pk, f"{one.name} · {one.workspace.name}" if shows_workspace else one.name)
            for one in found
        ]
