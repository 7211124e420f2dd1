from typing import Any

from django import forms

from apps.core.web.forms import in_this_century


def _day(label: str) -> forms.DateField:
    return forms.DateField(
        label=label,
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        error_messages={"invalid": "Enter a date such as 2026-12-31."},
        validators=[in_this_century],
    )


def _text(label: str, **attributes: Any) -> forms.CharField:
    widget = forms.TextInput(attrs={"autocomplete": "off", **attributes})
    return forms.CharField(label=label, required=False, max_length=100, widget=widget)


class AuditFilterForm(forms.Form):
    """Cleans to the filters of `events_of`; days are those of the reader's time zone."""

    actor = _text("Actor")
    action = _text("Action", spellcheck="false")
    target = _text("Target")
    since = _day("From")
    until = _day("To")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and until < since:
            self.add_error("until", "This date is before the start date.")
        return cleaned
