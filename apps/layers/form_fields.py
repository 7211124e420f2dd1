"""Fields of forms for settings that have layers: what is empty is inherited."""

from collections.abc import Iterable, Sequence
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
    """The text of one setting, in its one form; None where it is inherited. `allowed` are all
    that it may be, if that is known.
    """

    def __init__(
        self, setting: Setting, inherited: Effective, allowed: Sequence[str] | None = None
    ) -> None:
        text = f"{setting.help} Inherited: {in_words(inherited.value)}, {inherited.source}."
        super().__init__(
            required=False,
            label=setting.label,
            help_text=text,
            widget=_widget(setting, inherited, allowed),
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


def _one_of(allowed: Sequence[str], inherited: Effective) -> forms.Widget:
    """Offer what is allowed; with a star in it people write what they want."""
    exact = [text for text in allowed if "*" not in text]
    if len(exact) < len(allowed):
        return Suggestions([NONE, *allowed], attrs={"data-width": "l", **PLAIN})
    empty = ("", f"Inherit ({in_words(inherited.value)})")
    choices = [empty, (NONE, "None"), *((text, text) for text in exact)]
    return forms.Select(choices=choices, attrs={"data-width": "l"})


def _widget(setting: Setting, inherited: Effective, allowed: Sequence[str] | None) -> forms.Widget:
    kind = setting.kind
    if allowed is not None:
        return _one_of(allowed, inherited)
    if isinstance(kind, SwitchKind):
        empty = ("", f"Inherit ({in_words(inherited.value)})")
        choices = [empty, ("on", "On"), ("off", "Off")]
        return forms.Select(choices=choices, attrs={"data-width": "m"})
    if kind.choices:
        return Suggestions(kind.choices, attrs={"data-width": "m", **PLAIN})
    if kind.lines > 1:
        return forms.Textarea(attrs={"rows": kind.lines, "data-kind": "code", **PLAIN})
    return forms.TextInput(attrs={"data-width": "m", **PLAIN})
