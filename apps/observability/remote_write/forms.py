from django import forms

from apps.observability.remote_write.models import Receiver
from apps.observability.remote_write.services import Access


class ReceiverForm(forms.Form):
    url = forms.CharField(
        label="Address",
        max_length=2000,
        required=False,
        help_text="Where your Prometheus, Mimir or other receiver takes remote writes.",
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
    )
    user = forms.CharField(
        label="User",
        max_length=200,
        required=False,
        help_text="Leave it empty to send the secret as a bearer token.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    secret = forms.CharField(
        label="Password or token",
        max_length=2000,
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: object, receiver: Receiver | None, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        if receiver is None:
            self.fields["url"].required = True
            return
        self.fields["user"].initial = receiver.user
        self.fields["url"].help_text = f"Leave it empty to keep the one at {receiver.host}."
        self.fields[
            "secret"
        ].help_text = "Leave it empty to keep the one that is stored, for the same host and user."

    def access(self) -> Access:
        return Access(**{name: self.cleaned_data[name] for name in ("url", "user", "secret")})
