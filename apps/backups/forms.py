import zoneinfo
from collections.abc import Sequence
from typing import Any

from django import forms

from apps.backups.models import BackupSchedule
from apps.backups.services import WEEKDAYS
from apps.runtimes.catalogue import Runtime

KEPT = (
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "1 year"),
    ("0", "Until it is removed"),
)


class BackUpForm(forms.Form):
    keep_days = forms.ChoiceField(
        label="Keep it for",
        choices=KEPT,
        initial="30",
        widget=forms.Select(attrs={"data-width": "m"}),
    )

    @property
    def days(self) -> int | None:
        return int(self.cleaned_data["keep_days"]) or None


class ScheduleForm(forms.Form):
    weekday = forms.ChoiceField(
        label="Day",
        choices=[("", "Every day"), *((str(i), name) for i, name in enumerate(WEEKDAYS))],
        required=False,
        widget=forms.Select(attrs={"data-width": "m"}),
    )
    at = forms.TimeField(
        label="Time",
        initial="02:00",
        widget=forms.TimeInput(format="%H:%M", attrs={"type": "time", "data-width": "s"}),
    )
    time_zone = forms.CharField(
        label="Time zone",
        max_length=64,
        initial="UTC",
        help_text="A name such as Europe/Oslo. The time follows its daylight saving.",
        widget=forms.TextInput(attrs={"data-width": "m", "spellcheck": "false"}),
    )
    keep_days = forms.IntegerField(
        label="Keep each for",
        min_value=1,
        max_value=3650,
        initial=30,
        widget=forms.NumberInput(attrs={"data-width": "s", "data-unit": "days"}),
    )

    def __init__(self, *args: Any, schedule: BackupSchedule | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if schedule is not None:
            weekday = "" if schedule.weekday is None else str(schedule.weekday)
            self.initial = {
                "weekday": weekday,
                "at": schedule.at,
                "time_zone": schedule.time_zone,
                "keep_days": schedule.keep_days,
            }

    def clean_weekday(self) -> int | None:
        chosen = self.cleaned_data["weekday"]
        return int(chosen) if chosen else None

    def clean_time_zone(self) -> str:
        name: str = self.cleaned_data["time_zone"].strip()
        if name not in zoneinfo.available_timezones():
            raise forms.ValidationError("Enter a time zone such as Europe/Oslo or UTC.")
        return name


class NewDeploymentForm(forms.Form):
    """`runtimes` are those that can be chosen, `own` is that of the backup."""

    name = forms.CharField(
        label="Name of the new Deployment",
        max_length=60,
        widget=forms.TextInput(attrs={"data-width": "m", "autocomplete": "off"}),
    )
    runtime = forms.ChoiceField(
        required=False,
        help_text=(
            "With another one than that of the backup, its database is migrated, and code that "
            "needs packages has to be deployed again."
        ),
        widget=forms.Select(attrs={"data-width": "m"}),
    )

    def __init__(self, *args: Any, runtimes: Sequence[Runtime], own: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = [one.version for one in runtimes]
        field: Any = self.fields["runtime"]
        field.choices = [
            (one.version, f"{one.version}, Airflow {one.airflow_version}") for one in runtimes
        ]
        # The nearest one where its own is not offered any more.
        self.initial = {"runtime": own if own in versions else (versions or [""])[-1]}
