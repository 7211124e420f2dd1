from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone

from apps.core.web.forms import in_this_century
from apps.dataplane.hibernation.plans import MOST_TASK_MINUTES, Schedule, is_cron

DAYS = (
    ("MON", "Monday"),
    ("TUE", "Tuesday"),
    ("WED", "Wednesday"),
    ("THU", "Thursday"),
    ("FRI", "Friday"),
    ("SAT", "Saturday"),
    ("SUN", "Sunday"),
)
DURATIONS = (
    ("", "Until it is woken"),
    ("1", "For 1 hour"),
    ("4", "For 4 hours"),
    ("12", "For 12 hours"),
    ("24", "For 1 day"),
    ("72", "For 3 days"),
    ("168", "For 1 week"),
)
AWAKE = (
    ("", "Until its schedules put it to sleep again"),
    *DURATIONS[1:],
    ("always", "Until something else is said"),
)


class HibernateForm(forms.Form):
    hours = forms.ChoiceField(
        label="Hibernate",
        choices=DURATIONS,
        required=False,
        widget=forms.Select(attrs={"data-width": "m"}),
    )
    until = forms.DateTimeField(
        label="Or until (UTC)",
        required=False,
        validators=[in_this_century],
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
        widget=forms.DateTimeInput(
            format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local", "data-width": "m"}
        ),
    )

    def end(self, now: datetime) -> datetime | None:
        """Return the time that was chosen; None is without an end."""
        until: datetime | None = self.cleaned_data["until"]
        if until is not None:
            return until if timezone.is_aware(until) else until.replace(tzinfo=now.tzinfo)
        hours = self.cleaned_data["hours"]
        return now + timedelta(hours=int(hours)) if hours.isdigit() else None


class WakeForm(HibernateForm):
    hours = forms.ChoiceField(
        label="Keep it awake",
        choices=AWAKE,
        required=False,
        widget=forms.Select(attrs={"data-width": "l"}),
    )

    @property
    def is_for_good(self) -> bool:
        return self.cleaned_data["hours"] == "always" and not self.cleaned_data["until"]


class LimitsForm(forms.Form):
    task_minutes = forms.IntegerField(
        label="Give running tasks",
        min_value=0,
        max_value=MOST_TASK_MINUTES,
        help_text="What still runs then is ended. Tasks that the scheduler itself runs on the "
        "portal's machine get ten minutes at most.",
        widget=forms.NumberInput(attrs={"data-width": "s", "data-unit": "minutes"}),
    )
    idle_hours = forms.IntegerField(
        label="Hibernate by itself after",
        min_value=0,
        max_value=168,
        help_text="Without a task, a run or a change for so long. 0 is never.",
        widget=forms.NumberInput(attrs={"data-width": "s", "data-unit": "hours"}),
    )


class ScheduleForm(forms.Form):
    sleep_days = forms.MultipleChoiceField(
        label="Hibernate on",
        choices=DAYS,
        required=False,
        initial=["MON", "TUE", "WED", "THU", "FRI"],
        widget=forms.CheckboxSelectMultiple,
    )
    sleep_time = forms.TimeField(
        label="At",
        required=False,
        initial="19:00",
        widget=forms.TimeInput(format="%H:%M", attrs={"type": "time", "data-width": "s"}),
    )
    wake_days = forms.MultipleChoiceField(
        label="Wake up on",
        choices=DAYS,
        required=False,
        initial=["MON", "TUE", "WED", "THU", "FRI"],
        widget=forms.CheckboxSelectMultiple,
    )
    wake_time = forms.TimeField(
        label="At",
        required=False,
        initial="07:00",
        widget=forms.TimeInput(format="%H:%M", attrs={"type": "time", "data-width": "s"}),
    )
    time_zone = forms.CharField(
        label="Time zone",
        max_length=64,
        initial="UTC",
        help_text="A name such as Europe/Oslo. The times follow its daylight saving.",
        widget=forms.TextInput(attrs={"data-width": "m", "spellcheck": "false"}),
    )
    hibernate_at = forms.CharField(
        label="Or hibernate at, as a cron expression",
        max_length=100,
        required=False,
        help_text="Five fields, in place of days and time: 0 19 * * MON-FRI.",
        widget=forms.TextInput(attrs={"data-width": "m", "spellcheck": "false"}),
    )
    wake_at = forms.CharField(
        label="Or wake up at, as a cron expression",
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"data-width": "m", "spellcheck": "false"}),
    )
    description = forms.CharField(max_length=200, required=False)
    is_enabled = forms.BooleanField(label="The schedule is on", required=False, initial=True)

    def __init__(self, *args: Any, schedule: Schedule | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if schedule is not None:
            self.initial = {
                "time_zone": schedule.time_zone,
                "description": schedule.description,
                "is_enabled": schedule.is_enabled,
                **_weekly(schedule.hibernate_at, "sleep_days", "sleep_time", "hibernate_at"),
                **_weekly(schedule.wake_at, "wake_days", "wake_time", "wake_at"),
            }

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        sides = (
            ("hibernate_at", "sleep_days", "sleep_time"),
            ("wake_at", "wake_days", "wake_time"),
        )
        for cron, days, at in sides:
            if cleaned.get(cron) or cron in self.errors:
                continue
            chosen: time | None = cleaned.get(at)
            if not cleaned.get(days):
                self.add_error(days, "Choose at least one day, or enter a cron expression below.")
            elif chosen is None and at not in self.errors:
                self.add_error(at, "Enter a time, or a cron expression below.")
            elif chosen is not None:
                cleaned[cron] = _cron(chosen, cleaned[days])
        return cleaned

    @property
    def schedule(self) -> Schedule:
        names = ("hibernate_at", "wake_at", "time_zone", "description", "is_enabled")
        return Schedule(**{name: self.cleaned_data[name] for name in names})


def _cron(at: time, days: list[str]) -> str:
    every = "*" if len(days) == len(DAYS) else ",".join(days)
    return f"{at.minute} {at.hour} * * {every}"


def _weekly(cron: str, days: str, at: str, text: str) -> dict[str, Any]:
    """Return the fields of a cron expression: days and time where it is weekly, else its text."""
    minute, hour, *rest = cron.split()
    known = [key for key, _ in DAYS]
    chosen = known if rest[-1] == "*" else rest[-1].split(",")
    is_weekly = rest[:2] == ["*", "*"] and minute.isdigit() and hour.isdigit()
    if is_weekly and is_cron(cron) and set(chosen) <= set(known):
        return {days: chosen, at: time(int(hour), int(minute))}
    return {days: [], at: None, text: cron}


def in_zone(moment: datetime, name: str) -> str:
    """Write a moment in a time zone, for people."""
    local = moment.astimezone(ZoneInfo(name))
    return f"{local:%a} {local.day} {local:%b}, {local:%H:%M} {local.tzname()}"
