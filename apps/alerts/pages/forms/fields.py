"""What the forms of alerts share."""

from typing import Any
from zoneinfo import available_timezones

from django import forms

from apps.alerts.rules.matching import MOST_PATTERNS, patterns_of
from apps.alerts.rules.models import WEEKDAYS
from apps.deployments.models import Deployment

DAYS = list(enumerate(WEEKDAYS))
STAR = "<code>*</code> stands for any characters; separate several by commas."
CODE = {"class": "mono", "spellcheck": "false", "autocomplete": "off"}


def zones() -> list[tuple[str, str]]:
    """List the time zones that a form offers."""
    return [(one, one) for one in sorted(available_timezones()) if "/" in one or one == "UTC"]


class PatternField(forms.CharField):
    """Names with `*`, separated by commas."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False, max_length=500, widget=forms.TextInput(attrs=CODE), **kwargs
        )

    def clean(self, value: Any) -> str:
        text = str(super().clean(value))
        found = patterns_of(text)
        if len(text.split(",")) > MOST_PATTERNS:
            raise forms.ValidationError(f"Enter at most {MOST_PATTERNS} names.")
        return ", ".join(found)


def with_workspace(deployment: Deployment) -> str:
    """Name a Deployment among those of an organization."""
    return f"{deployment.name} ({deployment.workspace})"
