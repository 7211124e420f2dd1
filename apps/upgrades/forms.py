from typing import Any

from django import forms

from apps.core.web.forms import Choices, in_this_century
from apps.runtimes.catalogue import Runtime


class TargetForm(forms.Form):
    target = forms.ChoiceField(label="New runtime", widget=Choices)

    def __init__(self, *args: Any, targets: list[Runtime], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["target"]
        field.choices = [  # type: ignore[attr-defined]  # a choice field
            (one.version, f"{one.version}, Airflow {one.airflow_version}") for one in targets
        ]
        field.widget.hints = {
            one.version: f"Supported until {one.supported_until:%Y-%m-%d}" for one in targets
        }
        field.initial = targets[0].version if targets else None


class ConfirmForm(forms.Form):
    starts_at = forms.DateTimeField(
        label="Begin at",
        required=False,
        help_text="Empty means now. In your time zone.",
        validators=[in_this_century],
        widget=forms.DateTimeInput(
            format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local", "data-width": "m"}
        ),
    )
