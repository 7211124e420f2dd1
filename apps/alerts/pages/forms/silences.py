"""The form of a silence."""

from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from apps.alerts.pages.forms.fields import DAYS, STAR, PatternField, with_workspace
from apps.alerts.places import Place, fields_of
from apps.alerts.silences.models import Silence
from apps.core.web.forms import in_this_century
from apps.deployments.models import Deployment

LENGTHS = (
    (1, "1 hour"),
    (2, "2 hours"),
    (4, "4 hours"),
    (8, "8 hours"),
    (24, "1 day"),
    (72, "3 days"),
    (168, "7 days"),
)


class SilenceForm(forms.Form):
    """A silence from now or from a moment on, once or every week."""

    deployment = forms.ModelChoiceField(
        queryset=Deployment.objects.none(), required=False, empty_label="All Deployments here"
    )
    dags = PatternField(label="DAGs", help_text=f"Empty means all, and incidents too. {STAR}")
    begins_at = forms.DateTimeField(
        label="From",
        required=False,
        widget=forms.DateTimeInput(
            format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local", "data-width": "m"}
        ),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
        help_text="Empty means now. In your time zone.",
        validators=[in_this_century],
        error_messages={"invalid": "Enter a date and a time such as 2026-12-01 22:00."},
    )
    hours = forms.TypedChoiceField(label="For", coerce=int, choices=LENGTHS, initial=2)
    weekdays = forms.TypedMultipleChoiceField(
        label="Every week on",
        required=False,
        coerce=int,
        choices=DAYS,
        widget=forms.CheckboxSelectMultiple,
        help_text="For maintenance windows: at this time of day, on these days. None means once.",
    )
    reason = forms.CharField(
        max_length=200, required=False, widget=forms.TextInput(attrs={"data-width": "l"})
    )

    def __init__(self, *args: Any, place: Place, deployments: Any, **kwargs: Any) -> None:
        self.place = place
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        fields["deployment"].queryset = deployments
        fields["deployment"].label_from_instance = with_workspace

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("weekdays") and data.get("hours", 0) > 24:
            self.add_error("hours", "A weekly silence lasts a day at most.")
        return data

    def filled(self) -> Silence:
        """Return the silence that was entered, not saved."""
        data = self.cleaned_data
        begins = data["begins_at"] or timezone.now()
        return Silence(
            **fields_of(self.place),
            deployment=data["deployment"],
            dags=data["dags"],
            reason=data["reason"],
            begins_at=begins,
            ends_at=begins + timedelta(hours=data["hours"]),
            weekdays=data["weekdays"],
            zone=timezone.get_current_timezone_name(),
        )
