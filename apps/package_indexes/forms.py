from django import forms

from apps.package_indexes.models import PackageIndex
from apps.package_indexes.services import IndexData


class IndexForm(forms.Form):
    name = forms.CharField(
        label="Name", max_length=60, widget=forms.TextInput(attrs={"data-width": "m"})
    )
    url = forms.CharField(
        label="Address",
        max_length=500,
        help_text="Of its simple API, without user and password: "
        "https://packages.example.org/simple",
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
    )
    username = forms.CharField(
        label="User",
        max_length=200,
        required=False,
        help_text="Where the index asks for one. With a token alone it often is __token__.",
        widget=forms.TextInput(
            attrs={"data-width": "m", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    password = forms.CharField(
        label="Password or token",
        max_length=4000,
        required=False,
        strip=False,
        help_text="One that only reads. Stored encrypted and never shown.",
        widget=forms.PasswordInput(attrs={"data-width": "m", "autocomplete": "new-password"}),
    )
    ca_certificate = forms.CharField(
        label="CA certificate",
        max_length=50_000,
        required=False,
        help_text="Of a private CA that signed the certificate of the index, in PEM.",
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "class": "mono"}),
    )
    is_only = forms.BooleanField(
        label="Replace the public index",
        required=False,
        help_text="Packages come from here alone, and from other package indexes that are named. "
        "Otherwise what this one lacks comes from the public index.",
    )

    def __init__(self, *args: object, index: PackageIndex | None, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on
        if index is None:
            return
        for name in ("name", "url", "username", "ca_certificate", "is_only"):
            self.fields[name].initial = getattr(index, name)
        if index.secret:
            self.fields[
                "password"
            ].help_text = (
                "Leave it empty to keep the one that is stored, for the same host and user."
            )

    def data_entered(self) -> IndexData:
        return IndexData(**self.cleaned_data)
