from typing import Any

from django import forms

from apps.layers.catalogue import settings_of
from apps.layers.form_fields import NONE, SettingField, grouped, in_words, left_out
from apps.layers.models import Layer
from apps.layers.resolving import Effective
from apps.layers.setting import LayerName, Setting

LOCK = "lock_"


class LayerForm(forms.Form):
    """What one layer says: for each setting a text, empty where it is inherited, and a lock. Those
    that a layer above locked are no fields.
    """

    def __init__(
        self,
        *args: Any,
        layer: LayerName,
        is_kubernetes: bool,
        inherited: dict[str, Effective],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.locked_above = []
        self.left_out = []
        for setting in settings_of(layer=layer, is_kubernetes=is_kubernetes):
            above = inherited[setting.name]
            if above.is_locked:
                self.locked_above.append((setting.label, in_words(above.value), above.locker))
                self.left_out.append(self._left_out(setting, above))
                continue
            self.fields[setting.name] = SettingField(setting, above)
            if setting.is_lockable(layer):
                label = f"Lock {setting.label[0].lower()}{setting.label[1:]}"
                self.fields[f"{LOCK}{setting.name}"] = forms.BooleanField(
                    required=False,
                    label="Lock",
                    widget=forms.CheckboxInput(attrs={"aria-label": label}),
                )

    def clean(self) -> dict[str, Any]:
        for said in filter(None, self.left_out):
            self.add_error(None, said)
        return self.cleaned_data

    def _left_out(self, setting: Setting, above: Effective) -> str:
        before = self.get_initial_for_field(SettingField(setting, above), setting.name)
        said = None if before is None else "" if before == NONE else str(before)
        return left_out(setting, above, data=self.data, name=setting.name, before=said)

    @property
    def groups(self) -> list[dict[str, Any]]:
        groups = grouped(self, self.fields)
        for group in groups:
            for row in group["rows"]:
                row["lock"] = self._lock(row["field"].name)
            locked = sum(1 for row in group["rows"] if row["lock"] and row["lock"].value())
            group |= {"lock_count": locked, "is_open": group["is_open"] or bool(locked)}
        return groups

    def said(self) -> tuple[dict[str, str], set[str]]:
        """Return the texts and the locks that were typed."""
        data = self.cleaned_data
        names = [name for name in self.fields if not name.startswith(LOCK)]
        values = {name: data[name] for name in names if data[name] is not None}
        return values, {name for name in names if data.get(f"{LOCK}{name}")}

    def differing(self, row: Layer) -> list[tuple[str, str, str]]:
        """List what a layer says now beside what was typed: setting, now, typed."""
        values, locked = self.said()
        names = [name for name in self.fields if not name.startswith(LOCK)]
        found = [
            (
                str(self.fields[name].label),
                _said_in_words(row.values.get(name), name in row.locked),
                _said_in_words(values.get(name), name in locked),
            )
            for name in names
        ]
        return [one for one in found if one[1] != one[2]]

    def disable(self) -> None:
        """Show everything, and take nothing."""
        for field in self.fields.values():
            field.disabled = True

    def refuse(self, name: str, reason: str) -> None:
        """Show a setting, take nothing, and say why."""
        field = self.fields.get(name)
        if isinstance(field, SettingField):
            field.disabled = True
            field.refuse(reason)

    def _lock(self, name: str) -> Any:
        return self[f"{LOCK}{name}"] if f"{LOCK}{name}" in self.fields else None


def _said_in_words(text: str | None, is_locked: bool) -> str:
    words = "inherited" if text is None else in_words(text)
    return f"{words}, locked" if is_locked else words


def stored(row: Layer | None) -> dict[str, Any]:
    """Return what a layer says as the form shows it."""
    if row is None:
        return {}
    values = {name: text or NONE for name, text in row.values.items()}
    return {**values, **{f"{LOCK}{name}": True for name in row.locked}}
