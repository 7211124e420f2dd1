from typing import Any

from django import forms
from django.utils import timezone

from apps.access.models import Role
from apps.core.errors import Invalid
from apps.core.web.forms import Choices, add_error
from apps.sso.models import SSOConnection
from apps.sso.protocols.identity_providers import (
    MOST_CERTIFICATES,
    discover,
    fetch_metadata,
    read_metadata,
)
from apps.sso.protocols.outgoing import MOST_BYTES

ASK = "None: people must be invited"
SHARED = (
    "name",
    "default_role",
    "email_attribute",
    "name_attribute",
    "groups_attribute",
    "addresses_verified_because",
)


class ProtocolForm(forms.Form):
    protocol = forms.ChoiceField(
        label="Protocol",
        choices=SSOConnection.Protocol.choices,
        widget=Choices(
            hints={
                "saml": "Okta, Entra ID, Keycloak, ADFS … with a metadata file or address.",
                "openid_connect": "Google, Okta, Entra ID, Keycloak … with issuer and client.",
            }
        ),
    )


class ConnectionForm(forms.Form):
    """What both protocols share. `cleaned_fields` is what the services take."""

    name = forms.CharField(label="Name", max_length=60, help_text="Shown on the sign-in button.")
    default_role = forms.ChoiceField(
        label="Default role for new users",
        required=False,
        help_text="Also for people you removed, as long as the identity provider lets them in.",
    )
    email_attribute = forms.CharField(label="Email attribute", max_length=200, required=False)
    name_attribute = forms.CharField(label="Name attribute", max_length=200, required=False)
    groups_attribute = forms.CharField(label="Groups attribute", max_length=200, required=False)
    addresses_verified_because = forms.CharField(
        label="Why its addresses are verified",
        max_length=200,
        required=False,
        help_text=(
            "Only for a provider that says its addresses are not, like Keycloak by default, and "
            "only by an owner. For example: only administrators write addresses."
        ),
    )
    replaces = forms.BooleanField(
        label="Replace the identity provider",
        required=False,
        help_text="Needed for another issuer or entity ID. Identities linked now end with it.",
    )

    def __init__(
        self,
        *args: Any,
        roles: list[Role],
        connection: SSOConnection | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.connection = connection
        choices = [(role.key, role.name) for role in roles]
        role = self.fields["default_role"]
        assert isinstance(role, forms.ChoiceField)  # noqa: S101 - declared above
        role.choices = [("", ASK), *choices]
        for name in ("email_attribute", "name_attribute", "groups_attribute"):
            self.fields[name].help_text = "Leave empty for the usual names."
        if connection is None:
            del self.fields["replaces"]

    def shared_fields(self) -> dict[str, Any]:
        fields = {name: self.cleaned_data[name].strip() for name in SHARED}
        return {**fields, "replaces": self.cleaned_data.get("replaces", False)}

    def provider_fields(self) -> dict[str, Any]:
        """Return what the protocol adds. Raises Invalid."""
        return {}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            self.cleaned_fields = {**self.shared_fields(), **self.provider_fields()}
        except Invalid as error:
            add_error(self, error)
        return cleaned


class SAMLForm(ConnectionForm):
    field_order = (
        "name",
        "metadata",
        "metadata_url",
        "keeps_certificates",
        "replaces",
        "default_role",
    )

    metadata = forms.FileField(label="Metadata file", required=False)
    metadata_url = forms.CharField(
        label="Or metadata URL",
        max_length=500,
        required=False,
        widget=forms.URLInput(),
        help_text=f"Fetched once, now. At most {MOST_CERTIFICATES} certificates.",
    )

    keeps_certificates = forms.BooleanField(
        label="Keep the current certificates, too",
        required=False,
        help_text="While the identity provider changes from one to the other.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.connection is None:
            del self.fields["keeps_certificates"]

    def provider_fields(self) -> dict[str, Any]:
        config = self._config()
        if not config or not self.cleaned_data.get("keeps_certificates"):
            return config
        assert self.connection is not None  # noqa: S101 - the field is of existing ones
        kept = [*config["config"]["certificates"], *self.connection.config["certificates"]]
        certificates = list(dict.fromkeys(kept))
        if len(certificates) > MOST_CERTIFICATES:
            raise Invalid(
                f"These would be more than {MOST_CERTIFICATES} certificates.",
                field="keeps_certificates",
            )
        return {"config": {**config["config"], "certificates": certificates}}

    def _config(self) -> dict[str, Any]:
        now = timezone.now()
        upload, url = self.cleaned_data.get("metadata"), self.cleaned_data["metadata_url"].strip()
        if upload and url:
            raise Invalid("Choose a file or enter a URL, not both.", field="metadata_url")
        if upload:
            if upload.size > MOST_BYTES:
                raise Invalid("The metadata is larger than 1 MiB.", field="metadata")
            return {"config": read_metadata(xml=upload.read(), now=now)}
        if url:
            return {"config": fetch_metadata(url=url, now=now)}
        if self.connection is None:
            raise Invalid(
                "Choose the metadata file of the identity provider, or enter its URL.",
                field="metadata",
            )
        return {}


class OIDCForm(ConnectionForm):
    field_order = (
        "name",
        "issuer",
        "ca_certificate",
        "replaces",
        "client_id",
        "client_secret",
        "default_role",
    )

    issuer = forms.CharField(
        label="Issuer",
        max_length=500,
        widget=forms.URLInput(),
        help_text="As the identity provider states it, or the address of its configuration.",
    )
    ca_certificate = forms.CharField(
        label="CA certificate of its server",
        max_length=20_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        help_text="Only if no public authority signed the server's certificate. PEM.",
    )
    client_id = forms.CharField(label="Client ID", max_length=255)
    client_secret = forms.CharField(
        label="Client secret",
        max_length=500,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.connection is not None:
            self.fields["client_secret"].required = False
            self.fields["client_secret"].help_text = "Leave empty to keep the current one."

    def provider_fields(self) -> dict[str, Any]:
        return {
            "client_id": self.cleaned_data["client_id"].strip(),
            "client_secret": self.cleaned_data["client_secret"],
            "config": discover(
                issuer=self.cleaned_data["issuer"], ca=self.cleaned_data["ca_certificate"]
            ),
        }


FORMS: dict[str, type[ConnectionForm]] = {"saml": SAMLForm, "openid_connect": OIDCForm}
