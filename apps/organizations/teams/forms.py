from typing import Any

from django import forms

from apps.access.models import Role
from apps.organizations.forms import RoleField, TimeBoxForm
from apps.organizations.models import Organization


class TeamForm(forms.Form):
    name = forms.CharField(max_length=80, help_text="Unique in the organization.")
    description = forms.CharField(required=False, max_length=250, help_text="Who is this Team for?")


class TeamMemberForm(forms.Form):
    email = forms.EmailField(
        label="Email address",
        max_length=254,
        help_text="Of a member of the organization.",
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


class TeamRoleForm(TimeBoxForm):
    """A Team of the organization and a role for it."""

    def __init__(
        self, *args: Any, organization: Organization, roles: list[Role], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"] = forms.ModelChoiceField(
            queryset=organization.teams.order_by("name"),
            label="Team",
            empty_label="Select a Team",
            error_messages={
                "required": "Select a Team.",
                "invalid_choice": "This Team no longer exists.",
            },
        )
        self.fields["role"] = RoleField(roles=roles)
        self.order_fields(["team", "role"])
