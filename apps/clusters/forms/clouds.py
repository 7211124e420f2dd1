"""Where clusters of a cloud are found, as people give it: `cleaned_data["source"]`."""

from typing import Any, ClassVar

from django import forms
from django.conf import settings

from apps.clusters.connections.sources import AwsSource, AzureSource, GoogleSource
from apps.clusters.forms.parts import KeptForm, WriteOnlyText
from apps.dataplane.clouds import aws, azure, google
from apps.dataplane.errors import Permanent

PLAIN = {"spellcheck": "false", "autocomplete": "off"}


class CloudForm(KeptForm):
    """A form of one cloud. With `one`, it also names one cluster there."""

    one = forms.CharField(
        label="Cluster", max_length=400, widget=forms.TextInput(attrs={"spellcheck": "false"})
    )

    def __init__(
        self, *args: Any, external_id: str = "", names_one: bool = False, **kwargs: Any
    ) -> None:
        self.external_id = external_id
        super().__init__(*args, **kwargs)
        if not names_one:
            del self.fields["one"]


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
    field_order = ("tenant", "client_id", "client_secret", "subscription", "one")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
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
    field_order = ("key", "project", "by_dns", "one")

    def clean_key(self) -> google.Account:
        try:
            return google.read_key(self.cleaned_data["key"])
        except Permanent as error:
            raise forms.ValidationError(error.message) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors:
            account: google.Account = data["key"]
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
