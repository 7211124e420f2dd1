from typing import Any

from django import forms

from apps.observability.scaling.simulation import Settings

MOST_WORKERS, MOST_TASKS, MOST_COOLDOWN = 1000, 1000, 86_400


def _number(label: str, *, least: int, most: int, help_text: str = "", unit: str = "") -> Any:
    attrs = {"data-width": "s", "data-unit": unit}
    return forms.IntegerField(
        label=label,
        min_value=least,
        max_value=most,
        help_text=help_text,
        widget=forms.NumberInput(attrs=attrs),
    )


class ReplayForm(forms.Form):
    min_workers = _number("Min workers", least=0, most=MOST_WORKERS)
    max_workers = _number("Max workers", least=1, most=MOST_WORKERS)
    concurrency = _number("Tasks per worker", least=1, most=MOST_TASKS)
    cooldown_seconds = _number("Cooldown", least=0, most=MOST_COOLDOWN, unit="s")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        least, most = data.get("min_workers"), data.get("max_workers")
        if least is not None and most is not None and least > most:
            self.add_error("max_workers", "Max workers is less than min workers.")
        return data

    def settings(self) -> Settings:
        """Return what was asked for; the form must be valid."""
        return Settings(**{name: self.cleaned_data[name] for name in self.fields})
