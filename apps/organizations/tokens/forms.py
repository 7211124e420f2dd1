from datetime import timedelta
from typing import Any

from django import forms

from apps.access.models import Role
from apps.core.web.forms import Choices
from apps.organizations.forms import RoleField, TimeBoxForm


class TokenForm(TimeBoxForm):
    name = forms.CharField(
        max_length=80, help_text="What will use it, for example “GitHub Actions of etl”."
    )

    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"] = RoleField(roles=roles)
        self.fields["role"].initial = roles[0].key if roles else None
        self.fields["until"].initial = "month"
        self.order_fields(["name", "role"])


GRACES = {"none": timedelta(0), "hour": timedelta(hours=1), "day": timedelta(days=1)}


class RotationForm(forms.Form):
    """How long the previous secret keeps working. Cleans to `grace`."""

    grace = forms.ChoiceField(
        label="Current secret",
        initial="day",
        widget=Choices(),
        choices=[
            ("none", "Stops working now"),
            ("hour", "Works for 1 more hour"),
            ("day", "Works for 1 more day"),
        ],
    )

    def clean_grace(self) -> timedelta:
        return GRACES[self.cleaned_data["grace"]]
