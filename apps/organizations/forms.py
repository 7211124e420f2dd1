from typing import Any

from django import forms

from apps.access.models import Role
from apps.core.forms import Choices


class RoleField(forms.ChoiceField):
    """One of the given roles; what each may do stands under its name. Cleans to the role."""

    def __init__(self, *, roles: list[Role], **kwargs: Any) -> None:
        self.roles = {role.key: role for role in roles}
        super().__init__(
            choices=[(role.key, role.name) for role in roles],
            widget=Choices(hints={role.key: role.description for role in roles}),
            error_messages={
                "required": "Choose a role.",
                "invalid_choice": "Choose one of these roles; others hold rights you do not have.",
            },
            **kwargs,
        )

    def clean(self, value: Any) -> Role:
        return self.roles[super().clean(value)]


class OrganizationForm(forms.Form):
    name = forms.CharField(max_length=80)


class WorkspaceForm(forms.Form):
    name = forms.CharField(max_length=50, help_text="Unique in the organization.")
    description = forms.CharField(
        required=False, max_length=250, help_text="One sentence: whose pipelines run here?"
    )


class PersonForm(forms.Form):
    """An address and a role: for an invitation, or to add somebody who is here already."""

    email = forms.EmailField(
        label="E-mail address",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"] = RoleField(roles=roles)
        if roles:
            self.fields["role"].initial = roles[0].key

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


class RoleForm(forms.Form):
    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"] = RoleField(roles=roles)


class NewPersonForm(forms.Form):
    name = forms.CharField(
        label="Your name", max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    password = forms.CharField(
        help_text="At least 12 characters; a few words make a good one.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        strip=False,
        max_length=256,
    )
