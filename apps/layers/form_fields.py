"""Fields of forms for settings that have layers: what is empty is inherited."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms
from django.forms.boundfield import BoundField
from django.utils.html import format_html

from apps.core.errors import Invalid
from apps.layers.kinds.amounts import NumberKind, SizeKind, SwitchKind
from apps.layers.kinds.certificates import BEGIN, certificates_in_words
from apps.layers.kinds.kind import MOST_LINES
from apps.layers.kinds.labels import LabelsKind
from apps.layers.resolving import Effective
from apps.layers.setting import Setting

# What people write to have none where a layer above has one.
NONE = "none"
OWN = "own"
PLAIN = {"autocomplete": "off", "spellcheck": "false"}


class SizeWidget(forms.Select):
    """Named sizes to choose from, and a field for one of people's own: `name` holds either, and
    `name_own` what is written where `name` says that.
    """

    template_name = "layers/size.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        text = str(value or "")
        is_named = text in dict(self.choices)
        context = super().get_context(name, text if is_named else OWN, attrs)
        own = "" if is_named else text
        return {**context, "own": own, "own_name": f"{name}_own"}

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        chosen = super().value_from_datadict(data, files, name)
        return data.get(f"{name}_own", "") if chosen == OWN else chosen


class PairsWidget(forms.Textarea):
    """Rows of a name and a value for lines like `name=value`, with two empty ones at the end. A
    program may send the lines as one text, under the name of the field.
    """

    template_name = "layers/pairs.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        lines = [line.partition("=") for line in str(value or "").splitlines() if line.strip()]
        rows = [(left.strip(), right.strip()) for left, _, right in lines] + [("", "")] * 2
        return {**super().get_context(name, value, attrs), "rows": rows[: MOST_LINES + 2]}

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        if name in data:
            return data.get(name)
        numbers = range(MOST_LINES + 2)
        rows = [
            (data.get(f"{name}_name_{number}") or "", data.get(f"{name}_value_{number}") or "")
            for number in numbers
        ]
        return "\n".join(
            _line(left.strip(), right.strip()) for left, right in rows if left or right
        )

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False


def _line(name: str, value: str) -> str:
    return name if name.lower() == NONE and not value else f"{name}={value}"


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
        super().__init__(
            required=False,
            label=setting.label,
            help_text=_help(setting.help, inherited),
            widget=_widget(setting, inherited, allowed),
            max_length=setting.longest,
        )
        self.setting = setting
        self.inherited = inherited

    def refuse(self, reason: str) -> None:
        """Say why this person may not change it, in place of what it is for."""
        self.help_text = _help(reason, self.inherited)

    def clean(self, value: Any) -> str | None:
        text = super().clean(value).replace("\r\n", "\n")
        if not text:
            return None
        try:
            return self.setting.tidy("" if text.strip().lower() == NONE else text)
        except Invalid as error:
            raise forms.ValidationError(error.message) from None


def left_out(
    setting: Setting, above: Effective, *, data: Mapping[str, Any], name: str, before: str | None
) -> str:
    """Return what a person has to know of a text for a setting that a layer above locked since its
    form was opened; empty where there is none, or the one of before.
    """
    field = SettingField(setting, above)
    typed = field.widget.value_from_datadict(data, {}, name)
    try:
        text = field.clean(typed)
    except forms.ValidationError:
        text = str(typed)
    if text is None or text == before:
        return ""
    return (
        f"{setting.label} was locked by {above.locker} while you edited: “{in_words(text)}” is "
        "left out. Go on without it, or ask for the lock to be removed."
    )


def grouped(form: forms.Form, names: Iterable[str]) -> list[dict[str, Any]]:
    """Arrange the bound fields of settings under the titles of their groups, in `rows` with a lock
    beside. `set_count` are set here, `above_count` by layers above. A group in which one is set or
    wrong `is_open`.
    """
    groups: dict[str, list[BoundField]] = {}
    for name in names:
        field = form[name]
        if isinstance(field.field, SettingField):
            groups.setdefault(field.field.setting.group, []).append(field)
    return [_group(title, fields) for title, fields in groups.items()]


def _help(text: str, inherited: Effective) -> str:
    """Write a hint. Values and names of places are what people typed."""
    return format_html("{} Inherited: {}, {}.", text, in_words(inherited.value), inherited.source)


def _group(title: str, fields: list[BoundField]) -> dict[str, Any]:
    count = sum(1 for field in fields if str(field.value() or "").strip())
    above = sum(
        1
        for field in fields
        if isinstance(field.field, SettingField) and field.field.inherited.origin != "default"
    )
    return {
        "title": title,
        "rows": [{"field": field, "lock": None} for field in fields],
        "set_count": count,
        "above_count": above,
        "is_open": bool(count) or any(field.errors for field in fields),
    }


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
    empty = ("", f"Inherit ({in_words(inherited.value)})")
    if isinstance(kind, SwitchKind):
        choices = [empty, ("on", "On"), ("off", "Off")]
        return forms.Select(choices=choices, attrs={"data-width": "m"})
    if isinstance(kind, SizeKind):
        named = [(name, size_in_words(name)) for name in kind.NAMED]
        choices = [empty, *named, (OWN, "Your own")]
        return SizeWidget(choices=choices, attrs={"data-width": "m"})
    shown = {"placeholder": inherited.value.splitlines()[0][:60]} if inherited.value else {}
    if isinstance(kind, NumberKind):
        bounds = {"min": str(kind.floor), "max": str(kind.ceiling)}
        return forms.NumberInput(attrs={"data-width": "s", **shown, **bounds})
    if isinstance(kind, LabelsKind):
        return PairsWidget(attrs=PLAIN)
    if kind.lines > 1:
        return forms.Textarea(attrs={"rows": kind.lines, "data-kind": "code", **PLAIN})
    return forms.TextInput(attrs={"data-width": "m", **shown, **PLAIN})


def size_in_words(name: str) -> str:
    """Describe a named size: "Medium, 2 CPU and 4 GiB"."""
    size = SizeKind.NAMED[name]
    title = name.replace("-", " ").capitalize()
    if size is None:
        return f"{title}, the usual one"
    return f"{title}, {size.cpu_millis // 1000} CPU and {size.memory_mib // 1024} GiB"
