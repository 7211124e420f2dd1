"""The part of the form with settings that have layers: what is empty is inherited."""

from typing import Any

from apps.deployments.configuration.options import DeploymentOptions
from apps.deployments.configuration.schema import Configuration, SettingValue
from apps.deployments.editing.forms.parts import EditorPart
from apps.layers.form_fields import SettingField, grouped, in_words, left_out
from apps.layers.setting import Setting


class LayeredPart(EditorPart):
    """The settings that a Deployment may set itself. Those that a layer above locked are no fields:
    what the Deployment had of them stays, and does not hold.
    """

    def __init__(
        self, *args: Any, options: DeploymentOptions, base: Configuration | None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.inherited = options.inherited()
        self.before = base.own_settings if base else {}
        self.locked: list[Setting] = []
        for setting in options.settings:
            if self.inherited[setting.name].is_locked:
                self.locked.append(setting)
            else:
                above = self.inherited[setting.name]
                self.fields[setting.name] = SettingField(setting, above, self._allowed(setting))

    def _allowed(self, setting: Setting) -> list[str] | None:
        """Return what the cluster allows, and what is set now: leaving it must not change it."""
        if setting.name != "workload_identity":
            return None
        allowed = self.inherited["allowed_workload_identities"].value.splitlines()
        now = self.before.get(setting.name, "")
        is_offered = not now or now in allowed or any("*" in line for line in allowed)
        return allowed if is_offered else [*allowed, now]

    @property
    def groups(self) -> list[dict[str, Any]]:
        return grouped(self, self.fields)

    @property
    def locked_rows(self) -> list[dict[str, str]]:
        """What the locked ones are, and who locked them."""
        return [
            {
                "label": setting.label,
                "value": in_words(self.inherited[setting.name].value),
                "locker": self.inherited[setting.name].locker,
            }
            for setting in self.locked
        ]

    @property
    def own_count(self) -> int:
        return sum(group["set_count"] for group in self.groups)

    @property
    def from_layers(self) -> list[tuple[str, int]]:
        """How many settings come from each layer above, like ("the cluster eu-1", 2)."""
        counts: dict[str, int] = {}
        for one in self.inherited.values():
            if one.origin != "default":
                place = one.source.removeprefix("from ")
                counts[place] = counts.get(place, 0) + 1
        return list(counts.items())

    def own(self) -> tuple[SettingValue, ...]:
        """Return what the Deployment sets itself, in the order of the catalogue."""
        kept = {setting.name: self.before.get(setting.name) for setting in self.locked}
        values = {**kept, **{name: self._value(name) for name in self.fields}}
        return tuple(
            SettingValue(name=name, value=value)
            for name, value in values.items()
            if value is not None
        )

    def clean(self) -> dict[str, Any]:
        for setting in self.locked:
            above, before = self.inherited[setting.name], self.before.get(setting.name)
            name = self.add_prefix(setting.name)
            said = left_out(setting, above, data=self.data, name=name, before=before)
            if said:
                self.add_error(None, said)
        return self.cleaned_data

    def show(self, name: str, message: str) -> None:
        """Show what is wrong with a setting at its field, if it has one."""
        field = name if name in self.fields else None
        if field is None or field not in self.errors:
            self.add_error(field, message)

    def _value(self, name: str) -> str | None:
        if self.is_validated and name in self.cleaned_data:
            value: str | None = self.cleaned_data[name]
            return value
        return None
