"""Where clusters of a cloud are found, as people give it: `cleaned_data["source"]`."""

from typing import Any, ClassVar

from django import forms
from django.conf import settings

from apps.clusters.connections.own_identities import OwnIdentity
from apps.clusters.connections.sources import AwsSource, AzureSource, GoogleSource
from apps.clusters.forms.parts import KeptForm, WriteOnlyText
from apps.dataplane.clouds import aws, azure, google
from apps.dataplane.errors import Permanent

PLAIN = {"spellcheck": "false", "autocomplete": "off"}


class CloudForm(KeptForm):
    """A form of one cloud. With `one`, it also names one cluster there. `own` is what the portal is
    at this cloud, if the organization may use that.
    """

    replaced_by_own: ClassVar[tuple[str, ...]] = ()

    own_identity = forms.BooleanField(
        label="Use the portal's own identity",
        required=False,
        help_text="The operator of this portal lets your organization use it. Leave the fields of "
        "another sign-in empty.",
    )
    one = forms.CharField(
        label="Cluster", max_length=400, widget=forms.TextInput(attrs={"spellcheck": "false"})
    )

    def __init__(
        self,
        *args: Any,
        external_id: str = "",
        names_one: bool = False,
        own: OwnIdentity | None = None,
        **kwargs: Any,
    ) -> None:
        self.external_id, self.own = external_id, own
        super().__init__(*args, **kwargs)
        if not names_one:
            del self.fields["one"]
        if own is None:
            del self.fields["own_identity"]
        elif self.data.get("own_identity"):
            for name in self.replaced_by_own:
                self.fields[name].required = False

    def chosen_own(self, data: dict[str, Any]) -> OwnIdentity | None:
        """Return the portal's own identity if it was chosen, and complain of what else is given."""
        if not data.get("own_identity"):
            return None
        for name in self.replaced_by_own:
            if data.get(name):
                self.add_error(name, "Leave this empty to use the portal's own identity.")
        return self.own


class AwsForm(CloudForm):
    role_arn = forms.RegexField(
        aws.ROLE,
        label="Role",
        max_length=600,
        error_messages={"invalid": "Give the ARN of a role: arn:aws:iam::111122223333:role/name."},
        help_text="The ARN of the role that the portal assumes in the account of the clusters.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    region = forms.RegexField(
        aws.REGION,
        max_length=30,
        error_messages={"invalid": "Give a region of AWS, like eu-central-1."},
        help_text="The region of the clusters, such as eu-central-1.",
        widget=forms.TextInput(attrs={**PLAIN, "data-width": "s"}),
    )
    field_order = ("role_arn", "region", "one")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # At AWS the portal always comes by a role of the account.
        super().__init__(*args, **{**kwargs, "own": None})

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not settings.AWS_PRINCIPAL:
            raise forms.ValidationError(
                "The operator of this portal has given it no AWS identity (PORTAL_AWS_PRINCIPAL)."
            )
        if "role_arn" in data and "region" in data:
            role = aws.Role(
                arn=data["role_arn"], external_id=self.external_id, region=data["region"]
            )
            data["source"] = AwsSource(role=role)
        return data


class AzureForm(CloudForm):
    secret_fields: ClassVar = {"client_secret": ("tenant", "client_id")}

    tenant = forms.RegexField(
        azure.GUID,
        error_messages={"invalid": "Give the tenant's id, like 0a1b2c3d-…, in lower case."},
        help_text="Directory (tenant) ID of the application.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    client_id = forms.RegexField(
        azure.GUID,
        label="Application",
        error_messages={"invalid": "Give the application's id, like 0a1b2c3d-…, in lower case."},
        help_text="Application (client) ID. Its service principal signs in to the clusters.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    client_secret = forms.CharField(
        max_length=500,
        help_text="Value of a client secret. Stored encrypted and never shown again.",
        widget=WriteOnlyText(attrs={**PLAIN, "rows": 2, "data-kind": "code"}),
    )
    subscription = forms.RegexField(
        azure.GUID,
        error_messages={"invalid": "Give the subscription's id, like 0a1b2c3d-…, in lower case."},
        help_text="The subscription whose AKS clusters are listed.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    field_order = ("own_identity", "tenant", "client_id", "client_secret", "subscription", "one")
    replaced_by_own = ("tenant", "client_id", "client_secret")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if (own := self.chosen_own(data)) and not self.errors:
            application = azure.Application(
                tenant="",
                client_id=own.principal,
                client_secret="",
                subscription=data["subscription"],
                own_of=own.own_of,
            )
            return data | {"source": AzureSource(application=application)}
        names = ("tenant", "client_id", "client_secret", "subscription")
        if all(name in data for name in names):
            data["source"] = AzureSource(
                application=azure.Application(**{name: data[name] for name in names})
            )
        return data


class GoogleForm(CloudForm):
    secret_fields: ClassVar = {"key": ()}

    key = forms.CharField(
        label="Key of a service account",
        max_length=google.LONGEST_KEY,
        help_text="The JSON file. Stored encrypted and never shown again.",
        widget=WriteOnlyText(attrs={**PLAIN, "rows": 8, "data-kind": "code"}),
    )
    project = forms.RegexField(
        google.PROJECT,
        required=False,
        max_length=63,
        error_messages={"invalid": "Give the id of a project, like data-prod-123456."},
        help_text="Only if the clusters are in another project than the account.",
        widget=forms.TextInput(attrs={**PLAIN, "data-width": "m"}),
    )
    by_dns = forms.BooleanField(
        label="Use DNS endpoints",
        required=False,
        help_text="Where a cluster has one that lets traffic from outside in. It needs no CA.",
    )
    field_order = ("own_identity", "key", "project", "by_dns", "one")
    replaced_by_own = ("key",)

    def clean_key(self) -> google.Account | None:
        if not self.cleaned_data["key"]:
            return None
        try:
            return google.read_key(self.cleaned_data["key"])
        except Permanent as error:
            raise forms.ValidationError(error.message) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if own := self.chosen_own(data):
            if not data.get("project"):
                self.add_error("project", "Give the project whose clusters are meant.")
            if not self.errors:
                account = google.Account(
                    email=own.principal,
                    key_id="",
                    private_key="",
                    project=data["project"],
                    own_of=own.own_of,
                )
                data["source"] = GoogleSource(account=account, by_dns=data["by_dns"])
        elif not self.errors:
            account = data["key"]
            project = data["project"] or account.project
            data["source"] = GoogleSource(
                account=google.Account(
                    email=account.email,
                    key_id=account.key_id,
                    private_key=account.private_key,
                    project=project,
                ),
                by_dns=data["by_dns"],
            )
        return data


FORMS: dict[str, type[CloudForm]] = {"aws": AwsForm, "azure": AzureForm, "google": GoogleForm}
