"""Fields of forms for settings that have layers: what is empty is inherited."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.forms.boundfield import BoundField

from apps.core.errors import Invalid
from apps.layers.catalogue import Setting
from apps.layers.certificates import BEGIN, certificates_in_words
from apps.layers.kinds import SwitchKind
from apps.layers.resolving import Effective

# What people write to have none where a layer above has one.
NONE = "none"
PLAIN = {"autocomplete": "off", "spellcheck": "false"}


class Suggestions(forms.TextInput):
    """A text with a list of usual ones."""

    template_name = "layers/suggestions.html"

    def __init__(self, choices: Iterable[str], attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.choices = list(choices)

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        listed = {**(attrs or {}), "list": f"list-{name}"}
        return {**super().get_context(name, value, listed), "choices": self.choices}


class SettingField(forms.CharField):
    """The text of one setting, in its one form; None where it is inherited."""

    def __init__(self, setting: Setting, inherited: Effective) -> None:
        text = f"{setting.help} Inherited: {in_words(inherited.value)}, {inherited.source}."
        super().__init__(
            required=False,
            label=setting.label,
            help_text=text,
            widget=_widget(setting, inherited),
            max_length=setting.longest,
        )
        self.setting = setting

    def clean(self, value: Any) -> str | None:
        text = super().clean(value).replace("\r\n", "\n")
        if not text:
            return None
        try:
            return self.setting.tidy("" if text.strip().lower() == NONE else text)
        except Invalid as error:
            raise forms.ValidationError(error.message) from None


def grouped(form: forms.Form, names: Iterable[str]) -> list[dict[str, Any]]:
    """Arrange the bound fields of settings under the titles of their groups."""
    groups: dict[str, list[BoundField]] = {}
    for name in names:
        field = form[name]
        if isinstance(field.field, SettingField):
            groups.setdefault(field.field.setting.group, []).append(field)
    return [{"title": title, "fields": fields} for title, fields in groups.items()]


def in_words(value: str) -> str:
    """Write a value in one line."""
    if value.startswith(BEGIN):
        return certificates_in_words(value)
    lines = ", ".join(value.splitlines())
    return f"{lines[:80]}…" if len(lines) > 80 else lines or NONE


def _widget(setting: Setting, inherited: Effective) -> forms.Widget:
    kind = setting.kind
    if isinstance(kind, SwitchKind):
        empty = ("", f"Inherit ({in_words(inherited.value)})")
        choices = [empty, ("on", "On"), ("off", "Off")]
        return forms.Select(choices=choices, attrs={"data-width": "m"})
    if kind.choices:
        return Suggestions(kind.choices, attrs={"data-width": "m", **PLAIN})
    if kind.lines > 1:
        return forms.Textarea(attrs={"rows": kind.lines, "data-kind": "code", **PLAIN})
    return forms.TextInput(attrs={"data-width": "m", **PLAIN})
