"""How to reach a cluster, as people give it: a kubeconfig, or address, authority and token."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.utils import timezone

from apps.clusters.connections.credentials import (
    clean_ca,
    clean_proxy,
    clean_server,
    clean_server_name,
    clean_token,
)
from apps.clusters.connections.kubeconfig import Access, read_kubeconfig
from apps.clusters.connections.planes import allowed_networks
from apps.clusters.forms.namespaces import NamespacesField
from apps.clusters.forms.parts import KeptForm, NameForm, WriteOnlyText
from apps.core.errors import Invalid
from apps.core.web.forms import add_error
from apps.dataplane.kubernetes.config import Connection


@contextmanager
def _messages() -> Iterator[None]:
    """Turn a service's refusal into an error of the form."""
    try:
        yield
    except Invalid as error:
        raise forms.ValidationError(error.message) from None


class KubeconfigForm(KeptForm):
    secret_fields: ClassVar = {"kubeconfig": ()}

    kubeconfig = forms.CharField(
        strip=False,
        error_messages={"required": "Paste the kubeconfig."},
        widget=WriteOnlyText(
            attrs={"rows": 10, "spellcheck": "false", "autocomplete": "off", "data-kind": "code"}
        ),
        help_text="All of it, with inline data. Programs (exec) and files are refused.",
    )
    context = forms.CharField(
        required=False,
        max_length=253,
        label="Context",
        help_text="Only if the kubeconfig has several.",
        widget=forms.TextInput(attrs={"data-width": "m", "spellcheck": "false"}),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "kubeconfig" not in data:
            return data
        try:
            data["access"] = read_kubeconfig(
                data["kubeconfig"],
                context=data.get("context", ""),
                networks=allowed_networks(),
                now=timezone.now(),
            )
        except Invalid as error:
            add_error(self, error)
        return data


class TokenForm(KeptForm):
    secret_fields: ClassVar = {
        "token": ("server", "ca_certificate", "tls_server_name", "proxy_url")
    }

    server = forms.CharField(
        label="Address",
        max_length=500,
        help_text="The address of the Kubernetes API, like https://cluster.example.org:6443.",
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
    )
    ca_certificate = forms.CharField(
        label="CA certificate",
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "data-kind": "code"}),
        help_text="PEM, the text with -----BEGIN CERTIFICATE-----.",
    )
    tls_server_name = forms.CharField(
        label="TLS server name",
        required=False,
        max_length=253,
        help_text="Only if the certificate is for another host name than the address.",
        widget=forms.TextInput(attrs={"data-width": "m", "spellcheck": "false"}),
    )
    proxy_url = forms.CharField(
        label="Proxy",
        required=False,
        max_length=300,
        help_text="Only if the cluster is reached through one, like http://proxy.example.org:3128.",
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
    )
    token = forms.CharField(
        widget=WriteOnlyText(
            attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off", "data-kind": "code"}
        ),
        help_text="Token of a service account. Stored encrypted and never shown again.",
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors:
            token, expires_at = data["token"]
            connection = Connection(
                server=data["server"],
                ca_certificate=data["ca_certificate"],
                tls_server_name=data["tls_server_name"],
                proxy=data["proxy_url"],
                token=token,
                networks=allowed_networks(),
            )
            data["access"] = Access(connection=connection, expires_at=expires_at)
        return data

    def clean_server(self) -> str:
        server: str = self.cleaned_data["server"]
        with _messages():
            return clean_server(server, networks=allowed_networks(), field="server")

    def clean_ca_certificate(self) -> str:
        text: str = self.cleaned_data["ca_certificate"]
        with _messages():
            return clean_ca(text, field="ca_certificate", now=timezone.now())

    def clean_tls_server_name(self) -> str:
        text: str = self.cleaned_data["tls_server_name"]
        with _messages():
            return clean_server_name(text, field="tls_server_name")

    def clean_proxy_url(self) -> str:
        text: str = self.cleaned_data["proxy_url"]
        with _messages():
            return clean_proxy(text, networks=allowed_networks(), field="proxy_url")

    def clean_token(self) -> tuple[str, datetime | None]:
        text: str = self.cleaned_data["token"]
        with _messages():
            return clean_token(text, field="token", now=timezone.now())


class RegisterByKubeconfig(NameForm, KubeconfigForm):
    field_order = ("name", "kubeconfig", "context", "namespaces")
    namespaces = NamespacesField()


class RegisterByToken(NameForm, TokenForm):
    field_order = (
        "name",
        "server",
        "ca_certificate",
        "tls_server_name",
        "proxy_url",
        "token",
        "namespaces",
    )
    namespaces = NamespacesField()
