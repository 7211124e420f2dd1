from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from apps.access.models import Role
from apps.core.web.forms import Choices, in_this_century
from apps.core.words import moment_in_words

# Up to this many roles are radio buttons with their permissions; more become a select.
MOST_BUTTONS = 12


class RoleField(forms.ChoiceField):
    """One of the given roles, each with its permissions as a hint. Cleans to the role."""

    def __init__(self, *, roles: list[Role], **kwargs: Any) -> None:
        self.roles = {role.key: role for role in roles}
        hints = {role.key: role.description for role in roles}
        is_short = len(roles) <= MOST_BUTTONS
        super().__init__(
            choices=[(role.key, role.name) for role in roles] if is_short else _grouped(roles),
            widget=Choices(hints=hints) if is_short else forms.Select(),
            error_messages={
                "required": "Select a role.",
                "invalid_choice": "Select one of these roles; others exceed your own permissions.",
            },
            **kwargs,
        )

    def clean(self, value: Any) -> Role:
        return self.roles[super().clean(value)]


def _grouped(roles: list[Role]) -> list[tuple[str, list[tuple[str, str]]]]:
    own = {role.key: role.name for role in roles if role.organization_id}
    built_in = [(role.key, role.name) for role in roles if role.key not in own]
    return [("Built-in", built_in), ("Custom", sorted(own.items(), key=lambda one: one[1].lower()))]


TIMES = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}


LONGEST = timedelta(days=3660)


class UntilField(forms.ChoiceField):
    """A missing choice counts as the initial one."""

    def clean(self, value: Any) -> str:
        return str(super().clean(value or self.initial))


class TimeBoxForm(forms.Form):
    """How long a role or token is valid. Cleans to `expires_at`, None for no expiry; days end at
    midnight in the reader's time zone.
    """

    until = UntilField(
        label="Expires",
        initial="always",
        widget=forms.Select(attrs={"data-width": "m"}),
        choices=[
            ("always", "No expiry"),
            ("day", "In 1 day"),
            ("week", "In 7 days"),
            ("month", "In 30 days"),
            ("date", "On a date"),
        ],
    )
    until_day = forms.DateField(
        label="Expiry date",
        required=False,
        widget=forms.DateInput(attrs={"type": "date", "data-width": "s"}),
        help_text="Used with “On a date”. Access ends at the end of that day.",
        error_messages={"invalid": "Enter a date such as 2026-12-31."},
        validators=[in_this_century],
    )

    def __init__(self, *args: Any, ends_at: datetime | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ends_at = ends_at
        if ends_at is not None:
            now = moment_in_words(timezone.localtime(ends_at))
            until = self.fields["until"]
            # The field is a choice.
            until.choices = [("same", f"Unchanged: {now}"), *until.choices]  # type: ignore[attr-defined]
            until.initial = "same"

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        until, day = cleaned.pop("until", ""), cleaned.pop("until_day", None)
        cleaned["expires_at"] = self._end(until, day)
        return cleaned

    def _end(self, until: str, day: date | None) -> datetime | None:
        if until == "same":
            return self.ends_at
        if until in TIMES:
            return timezone.now() + TIMES[until]
        if until != "date" or "until_day" in self.errors:
            return None
        if day is None:
            self.add_error("until_day", "Select a date.")
            return None
        today = timezone.localdate()
        if not today <= day <= today + LONGEST:
            self.add_error("until_day", "Select a date from today to ten years from now.")
            return None
        return timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min))


class RoleForm(TimeBoxForm):
    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"] = RoleField(roles=roles)
        self.order_fields(["role"])
