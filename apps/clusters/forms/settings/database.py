"""Where the metadata databases of Deployments are, and how long their history is kept."""

import re
from typing import Any

from django import forms
from django.utils.ipv6 import is_valid_ipv6_address

from apps.clusters.forms.settings.part import ClusterPart
from apps.clusters.models import Cluster

VERIFIED = (Cluster.DatabaseTls.VERIFY_CA, Cluster.DatabaseTls.VERIFY_FULL)
DATABASE_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?")
IPV6 = re.compile(r"[0-9A-Fa-f:.]+")
DATABASE_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,62}")


class DatabasePart(ClusterPart):
    database_host = forms.CharField(
        label="PostgreSQL server",
        required=False,
        max_length=253,
        help_text="Host name as pods in the cluster reach it. Empty: each Deployment runs a small "
        "PostgreSQL of its own, meant for development. A changed server is used for new "
        "Deployments; existing databases stay where they are.",
        widget=forms.TextInput(attrs={"spellcheck": "false"}),
    )
    database_port = forms.IntegerField(
        label="Port",
        min_value=1,
        max_value=65535,
        widget=forms.NumberInput(attrs={"data-width": "s"}),
    )
    database_user = forms.CharField(
        label="Role",
        required=False,
        max_length=63,
        help_text="Must be allowed to create roles and databases: each Deployment gets its own.",
        widget=forms.TextInput(
            attrs={"data-width": "m", "spellcheck": "false", "autocomplete": "off"}
        ),
    )
    database_password = forms.CharField(
        label="Password",
        required=False,
        max_length=500,
        strip=False,
        widget=forms.PasswordInput(attrs={"data-width": "m", "autocomplete": "new-password"}),
    )
    database_sslmode = forms.ChoiceField(
        label="Encryption",
        choices=Cluster.DatabaseTls.choices,
        help_text="Of connections to this server. Only the last two find out who answers.",
    )
    database_ca = forms.CharField(
        label="CA certificate of the server",
        required=False,
        max_length=100_000,
        help_text="PEM, for the last two.",
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false", "data-kind": "code"}),
    )
    database_size = forms.CharField(
        label="Size of a database's volume",
        max_length=12,
        help_text="Without a PostgreSQL server, for new Deployments: existing volumes stay as they "
        "are.",
        widget=forms.TextInput(attrs={"data-width": "s"}),
    )
    history_days = forms.IntegerField(
        label="Days of history",
        min_value=0,
        max_value=3650,
        help_text="Runs that began earlier are removed from Airflow's database every night, with "
        "their tasks, XComs and audit log, and cannot be cleared any more. 0 keeps all.",
        widget=forms.NumberInput(attrs={"data-width": "s"}),
    )

    def clean_database_ca(self) -> str:
        return self._certificates("database_ca")

    def clean_database_size(self) -> str:
        return self._size("database_size")

    def clean_database_host(self) -> str:
        host = str(self.cleaned_data["database_host"])
        if IPV6.fullmatch(host) and is_valid_ipv6_address(host):
            return host
        message = "Enter a host name, without a port or scheme."
        return self._matching("database_host", DATABASE_HOST, message)

    def clean_database_user(self) -> str:
        message = "Enter the name of a PostgreSQL role."
        return self._matching("database_user", DATABASE_USER, message)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("database_sslmode") in VERIFIED:
            self._need("database_ca", "Enter the CA certificate that the server's is checked with.")
        if data.get("database_host"):
            self._need("database_user", "Enter the role that the portal uses there.")
            if self.cluster.database_password is None:
                self._need("database_password", "Enter the password of this role.")
            elif {"database_host", "database_port"} & set(self.changed_data):
                # Otherwise the stored password could be stolen by naming a server of one's own.
                self._need("database_password", "Enter the password of the new server.")
        return data
