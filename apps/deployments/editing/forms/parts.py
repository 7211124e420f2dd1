"""What every part of the form of a configuration is built of."""

from collections.abc import Iterable
from typing import Any, cast

from django import forms
from django.forms.utils import ErrorDict

from apps.layers.form_fields import SettingField

NO_HELP = {"autocomplete": "off", "spellcheck": "false"}


class SecretTextarea(forms.Textarea):
    """A field for a secret of one line or many. A submitted secret is never rendered again."""

    def format_value(self, value: Any) -> str:
        return ""


def offer(field: forms.Field, choices: Iterable[tuple[str, str]]) -> None:
    cast(forms.ChoiceField, field).choices = list(choices)


def choose(message: str) -> dict[str, str]:
    """Return the errors of a choice that is missing or is none of those offered."""
    return {"required": message, "invalid_choice": message}


class EditorPart(forms.Form):
    """A part of the form. `heading` names it in front of its errors."""

    is_validated = True

    @property
    def heading(self) -> str:
        return ""

    def full_clean(self) -> None:
        if self.is_validated:
            super().full_clean()
        else:
            self._errors = ErrorDict()
            self.cleaned_data = {}

    def refuse(self, name: str, reason: str, *, is_closed: bool) -> None:
        """Say at a field why this person may not change it. The service decides."""
        field = self.fields[name]
        if isinstance(field, SettingField):
            field.refuse(reason)
        else:
            field.help_text = reason
        if is_closed:
            field.widget.attrs["readonly"] = True

    def typed(self, name: str) -> str:
        """Return what a field holds as text, validated or not."""
        return str(self.data.get(self.add_prefix(name), ""))
