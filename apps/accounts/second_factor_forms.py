from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django import forms


class AddPasskeyForm(AddWebAuthnForm):  # type: ignore[misc]  # allauth is untyped
    name = forms.CharField(
        max_length=100, required=False, help_text="So that you know it again in the list."
    )
    passwordless = forms.BooleanField(
        label="Sign in with it alone, without a password",
        required=False,
        initial=True,
        help_text="The device then asks for your fingerprint, face or PIN.",
    )
