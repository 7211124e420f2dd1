from django import forms

from apps.object_stores.models import ObjectStore
from apps.object_stores.services import StoreData

_PLAIN = {"autocomplete": "off", "spellcheck": "false"}


class StoreForm(forms.Form):
    endpoint = forms.CharField(
        label="Address",
        max_length=300,
        help_text="Of the server, without the bucket: https://s3.eu-north-1.amazonaws.com",
        widget=forms.TextInput(attrs=_PLAIN),
    )
    bucket = forms.CharField(
        label="Bucket", max_length=63, widget=forms.TextInput(attrs={"data-width": "m", **_PLAIN})
    )
    prefix = forms.CharField(  # type: ignore[assignment]  # no class attribute: Django takes it out
        label="Folder",
        max_length=190,
        required=False,
        help_text="What the names of all objects begin with. Empty for none.",
        widget=forms.TextInput(attrs={"data-width": "m", **_PLAIN}),
    )
    region = forms.CharField(
        label="Region",
        max_length=40,
        initial="us-east-1",
        help_text="Servers other than AWS often take us-east-1.",
        widget=forms.TextInput(attrs={"data-width": "m", **_PLAIN}),
    )
    is_path_style = forms.BooleanField(
        label="Name the bucket in the path",
        initial=True,
        required=False,
        help_text="As most servers other than AWS want it. Otherwise it is part of the host name.",
    )
    access_key_id = forms.CharField(
        label="Access key ID",
        max_length=128,
        widget=forms.TextInput(attrs={"data-width": "m", **_PLAIN}),
    )
    secret = forms.CharField(
        label="Secret access key",
        max_length=1000,
        required=False,
        help_text="Stored encrypted and never shown.",
        widget=forms.PasswordInput(attrs={"data-width": "m", "autocomplete": "new-password"}),
    )
    ca_certificate = forms.CharField(
        label="CA certificate",
        max_length=50_000,
        required=False,
        help_text="Of a private CA that signed the certificate of the server, in PEM.",
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "class": "mono"}),
    )

    def __init__(self, *args: object, store: ObjectStore | None, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on
        if store is None:
            return
        for name in self.fields:
            if name != "secret":
                self.fields[name].initial = getattr(store, name)
        self.fields[
            "secret"
        ].help_text = (
            "Leave it empty to keep the one that is stored, for the same server and access key."
        )

    def data_entered(self) -> StoreData:
        return StoreData(**self.cleaned_data)
