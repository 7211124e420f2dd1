from typing import Any

from allauth.account.forms import LoginForm
from django import forms


class EmailForm(forms.Form):
    """The first step of every sign-in."""

    login = forms.EmailField(
        label="Email address",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username webauthn", "autofocus": True}),
        error_messages={"invalid": "Enter an email address, like ada@example.com."},
    )


class PasswordForm(LoginForm):  # type: ignore[misc]  # allauth is untyped
    """The second step: the address of the first stays in it, for people and password managers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "Email address"
        self.fields["login"].widget.attrs |= {"readonly": True, "autocomplete": "username"}
        self.fields["password"].widget.attrs["autofocus"] = True
