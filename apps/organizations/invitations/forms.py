from typing import Any

from django import forms

from apps.access.models import Role
from apps.organizations.forms import RoleField, TimeBoxForm


class PersonForm(TimeBoxForm):
    """An address and a role with its expiry: for an invitation, or to add an existing member."""

    email = forms.EmailField(
        label="Email address",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"] = RoleField(roles=roles)
        if roles:
            self.fields["role"].initial = roles[0].key
        self.order_fields(["email", "role"])

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


class NameForm(forms.Form):
    """What a person tells who will sign in through an identity provider."""

    name = forms.CharField(
        label="Your name", max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )


class NewPersonForm(NameForm):
    password = forms.CharField(
        help_text="At least 12 characters. A few random words work well.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        strip=False,
        max_length=256,
    )
