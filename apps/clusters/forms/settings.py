"""What the portal may use in a cluster, and which workspaces may use the cluster."""

import json
import re
from typing import Any, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django import forms

from apps.clusters.forms import log_stores
from apps.clusters.forms.namespaces import NamespacesField
from apps.clusters.forms.parts import KeptForm, NameForm, WriteOnlyText
from apps.clusters.models import Cluster
from apps.clusters.queries import deployments_in_words
from apps.core.web.forms import Choices
from apps.organizations.models import Workspace

VERIFIED = (Cluster.DatabaseTls.VERIFY_CA, Cluster.DatabaseTls.VERIFY_FULL)
NOT_A_CERTIFICATE = "This is not a certificate. It begins with -----BEGIN CERTIFICATE-----."
SIZE = re.compile(r"([1-9][0-9]{0,5})(Mi|Gi|Ti)")
ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,300}/?")
DATABASE_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.:]{0,251}[A-Za-z0-9])?")
DATABASE_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,62}")
# As the Distribution specification has names, with a host that may have a port.
REPOSITORY = re.compile(
    r"(?=[^/]*[.:]|localhost/)[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?"
    r"(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)+"
)
# A mirror may be all of a registry.
MIRROR = re.compile(
    r"(?=[^/]*[.:]|localhost/)[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?"
    r"(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*"
)
INDEX = re.compile(r"https://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?(/[-A-Za-z0-9_.~]+)*/?")
PULL_SECRET_BYTES = 64 * 1024


class SettingsForm(NameForm, KeptForm):
    """Settings of a cluster. An empty secret leaves the stored one; a tick removes it."""

    secret_fields: ClassVar = {
        "database_password": ("database_host", "database_port"),
        "logs_secret_key": ("logs_url", "logs_endpoint"),
        "image_pull_secret": (),
        "registry_password": ("registry_repository", "registry_user"),
    }
    ticks = ("apply_again", "forget_image_pull_secret", "forget_logs_secret_key")

    namespaces = NamespacesField()
    storage_class = forms.ChoiceField(required=False)
    logs_in = forms.ChoiceField(
        label="Keep task logs",
        choices=Cluster.LogsIn.choices,
        widget=Choices(
            hints={
                "claim": "On a volume in the namespace, shared by all components.",
                "object_store": "In a bucket or in Elasticsearch, where they outlive the "
                "Deployment.",
            }
        ),
    )
    logs_storage_class = forms.ChoiceField(
        required=False, help_text="For the shared volume. It must allow writing from many nodes."
    )
    logs_access = forms.ChoiceField(
        label="Access mode",
        choices=Cluster.LogsAccess.choices,
        help_text="ReadWriteOnce only if everything runs on one node.",
        widget=forms.Select(attrs={"data-width": "m"}),
    )
    logs_size = forms.CharField(
        max_length=12,
        help_text="Size of each Deployment's log volume, like 5Gi.",
        widget=forms.TextInput(attrs={"data-width": "s"}),
    )
    logs_url = forms.CharField(
        label="Bucket, container or index",
        required=False,
        max_length=500,
        help_text="Like s3://airflow-logs/prod, gs://airflow-logs/prod, "
        "wasbs://logs@account.blob.core.windows.net/prod, or "
        "https://elastic.example.org:9200/airflow for Elasticsearch.",
        widget=forms.TextInput(attrs={"spellcheck": "false"}),
    )
    logs_endpoint = forms.CharField(
        label="Endpoint",
        required=False,
        max_length=500,
        help_text="Only for stores that speak S3 and are not Amazon's.",
    )
    logs_access_key = forms.CharField(
        label="Access key or user",
        required=False,
        max_length=200,
        help_text="The access key of S3, or the user of Elasticsearch. Other stores have none.",
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
    )
    logs_secret_key = forms.CharField(
        label="Secret key or password",
        required=False,
        max_length=10_000,
        help_text="Of the access key or user; of Google the JSON key of a service account; of "
        "Azure the key of the storage account; of Elasticsearch without a user an API key. Empty "
        "where the service accounts of pods have the right. Rights of nodes do not count: pods "
        "cannot ask for them.",
        widget=WriteOnlyText(attrs={"rows": 3, "spellcheck": "false", "data-kind": "code"}),
    )
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
    image_pull_secret = forms.CharField(
        label="Registry credentials",
        required=False,
        widget=WriteOnlyText(attrs={"rows": 5, "spellcheck": "false", "data-kind": "code"}),
        help_text="The JSON of a docker config with “auths”, for images that are not public.",
    )
    image_mirror = forms.CharField(
        label="Registry mirror",
        required=False,
        max_length=300,
        help_text="Like registry.example.org/docker-hub, where nodes do not reach Docker Hub. All "
        "images of Airflow, PostgreSQL, Redis, PgBouncer and the exporter for Prometheus are "
        "pulled below it, at their paths on Docker Hub. Images that name a registry stay there.",
        widget=forms.TextInput(attrs={"spellcheck": "false"}),
    )
    registry_repository = forms.CharField(
        label="Repository",
        required=False,
        max_length=300,
        help_text="Like registry.example.org/data/airflow. Images with packages of projects are "
        "stored there. Empty: projects here bring no packages.",
        widget=forms.TextInput(attrs={"spellcheck": "false"}),
    )
    registry_user = forms.CharField(
        label="User",
        required=False,
        max_length=200,
        help_text="May push to this repository.",
        widget=forms.TextInput(
            attrs={"data-width": "m", "spellcheck": "false", "autocomplete": "off"}
        ),
    )
    registry_password = forms.CharField(
        label="Password or token",
        required=False,
        max_length=4000,
        strip=False,
        help_text="Only the Job that stores an image gets it.",
        widget=forms.PasswordInput(attrs={"data-width": "m", "autocomplete": "new-password"}),
    )
    registry_ca = forms.CharField(
        label="CA certificate of registry and index",
        required=False,
        max_length=100_000,
        help_text="PEM, where it is not a public one. Nodes need it, too, to pull.",
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false", "data-kind": "code"}),
    )
    runtime_repository = forms.CharField(
        label="Repository of the runtimes' images",
        required=False,
        max_length=300,
        help_text="Like registry.example.org/mirror/airflow, where the cluster does not reach "
        "Docker Hub. In the same registry, layers are not copied.",
        widget=forms.TextInput(attrs={"spellcheck": "false"}),
    )
    package_index = forms.CharField(
        label="Package index",
        required=False,
        max_length=500,
        help_text="Like https://pypi.example.org/simple. Empty: the public index.",
        widget=forms.TextInput(attrs={"spellcheck": "false"}),
    )
    apply_again = forms.BooleanField(required=False)
    forget_image_pull_secret = forms.BooleanField(
        required=False, label="Remove the stored credentials"
    )

    forget_logs_secret_key = forms.BooleanField(required=False, label="Remove the stored key")

    def __init__(self, *args: Any, cluster: Cluster, deployment_count: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cluster = cluster
        if deployment_count:
            some = deployments_in_words(deployment_count)
            self.fields["apply_again"].label = f"{some} applied again if this changes what runs"
        else:
            del self.fields["apply_again"]
        known = cluster.check_result.get("storage_classes", [])
        for name in ("storage_class", "logs_storage_class"):
            offered = [*known, *({getattr(cluster, name)} - {"", *known})]
            field: Any = self.fields[name]
            field.choices = [("", "The cluster's default"), *((one, one) for one in offered)]
            field.widget.attrs["data-width"] = "m"
        for name in self.secret_fields:
            if getattr(cluster, name) is not None:
                hint = "Stored. Leave empty to keep it."
                self.fields[name].help_text = f"{self.fields[name].help_text} {hint}".strip()
        for name in ("image_pull_secret", "logs_secret_key"):
            if getattr(cluster, name) is None:
                del self.fields[f"forget_{name}"]

    @classmethod
    def stored(cls, cluster: Cluster) -> dict[str, Any]:
        """Return what the form starts with; no secret is in it."""
        names = [name for name in cls.base_fields if name not in cls.secret_fields]
        return {name: getattr(cluster, name) for name in names if name not in cls.ticks}

    def clean_logs_size(self) -> str:
        return self._size("logs_size")

    def clean_database_ca(self) -> str:
        return self._certificates("database_ca")

    def clean_registry_ca(self) -> str:
        return self._certificates("registry_ca")

    def _certificates(self, name: str) -> str:
        text = str(self.cleaned_data[name]).replace("\r\n", "\n").strip()
        try:
            found = x509.load_pem_x509_certificates(text.encode()) if text else []
        except ValueError:
            raise forms.ValidationError(NOT_A_CERTIFICATE) from None
        # Written anew, so that nothing but certificates goes into the cluster.
        return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)

    def clean_database_size(self) -> str:
        return self._size("database_size")

    def _size(self, name: str) -> str:
        size = str(self.cleaned_data[name])
        if not SIZE.fullmatch(size):
            raise forms.ValidationError("Enter a size like 5Gi or 500Mi.")
        return size

    def clean_logs_url(self) -> str:
        url = str(self.cleaned_data["logs_url"])
        if url and not log_stores.is_store(url):
            raise forms.ValidationError(log_stores.WRONG)
        return url

    def clean_logs_endpoint(self) -> str:
        message = "Enter an address like https://minio.example.org, without a path."
        return self._matching("logs_endpoint", ENDPOINT, message)

    def clean_database_host(self) -> str:
        message = "Enter a host name, without a port or scheme."
        return self._matching("database_host", DATABASE_HOST, message)

    def clean_database_user(self) -> str:
        message = "Enter the name of a PostgreSQL role."
        return self._matching("database_user", DATABASE_USER, message)

    def clean_registry_repository(self) -> str:
        message = "Enter a repository like registry.example.org/data/airflow, without a tag."
        return self._matching("registry_repository", REPOSITORY, message)

    def clean_runtime_repository(self) -> str:
        message = "Enter a repository like registry.example.org/mirror/airflow, without a tag."
        return self._matching("runtime_repository", REPOSITORY, message)

    def clean_image_mirror(self) -> str:
        message = "Enter a registry, with a path or none, like registry.example.org/docker-hub."
        return self._matching("image_mirror", MIRROR, message)

    def clean_package_index(self) -> str:
        message = "Enter an https address like https://pypi.example.org/simple, without a user."
        return self._matching("package_index", INDEX, message)

    def clean_image_pull_secret(self) -> str:
        text = str(self.cleaned_data["image_pull_secret"])
        if not text:
            return ""
        try:
            is_good = isinstance(json.loads(text)["auths"], dict)
        except (ValueError, KeyError, TypeError, RecursionError):
            is_good = False
        if not is_good or len(text) > PULL_SECRET_BYTES:
            raise forms.ValidationError("This is not the JSON of a docker config with “auths”.")
        return text

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("logs_in") == Cluster.LogsIn.OBJECT_STORE:
            self._need("logs_url", "Enter the bucket, container or index for logs.")
        self._clean_logs(data)
        if data.get("database_sslmode") in VERIFIED:
            self._need("database_ca", "Enter the CA certificate that the server's is checked with.")
        if data.get("database_host"):
            self._need("database_user", "Enter the role that the portal uses there.")
            if self.cluster.database_password is None:
                self._need("database_password", "Enter the password of this role.")
            elif {"database_host", "database_port"} & set(self.changed_data):
                # Otherwise the stored password could be stolen by naming a server of one's own.
                self._need("database_password", "Enter the password of the new server.")
        self._clean_registry(data)
        return data

    def _clean_logs(self, data: dict[str, Any]) -> None:
        url, key = str(data.get("logs_url", "")), str(data.get("logs_secret_key") or "")
        user = str(data.get("logs_access_key") or "")
        before = log_stores.receiver_of(self.cluster.logs_url, self.cluster.logs_access_key)
        is_stored = self.cluster.logs_secret_key is not None
        if is_stored and before and before != log_stores.receiver_of(url, user):
            # The key of one vendor must not go to another, nor a password to another server.
            is_stored = False
            if not data.get("forget_logs_secret_key"):
                self._need("logs_secret_key", "Enter the key of this store, or remove the stored.")
        if user and not is_stored:
            self._need("logs_secret_key", "Enter the secret key or password that belongs to it.")
        if user and url and (message := log_stores.wrong_user(url, user)):
            self.add_error("logs_access_key", message)
        if url and key and (message := log_stores.wrong_key(url, key, user)):
            self.add_error("logs_secret_key", message)

    def _clean_registry(self, data: dict[str, Any]) -> None:
        if not data.get("registry_repository"):
            return
        if data.get("registry_password"):
            self._need("registry_user", "Enter the user of this password.")
        if not data.get("registry_user"):
            return
        if self.cluster.registry_password is None:
            self._need("registry_password", "Enter the password of this user.")
        elif {"registry_repository", "registry_user"} & set(self.changed_data):
            # Otherwise the stored password could be stolen by naming a registry of one's own.
            self._need("registry_password", "Enter the password for this repository.")

    def _need(self, name: str, message: str) -> None:
        if not self.cleaned_data.get(name) and name not in self.errors:
            self.add_error(name, message)

    def settings(self) -> dict[str, Any]:
        """Return the settings that are no secrets."""
        names = [name for name in self.cleaned_data if name not in self.secret_fields]
        return {name: self.cleaned_data[name] for name in names if name not in self.ticks}

    def secrets(self) -> dict[str, str | None]:
        """Return the secrets that were entered, and None for those to remove."""
        data = self.cleaned_data
        typed: dict[str, str | None] = {
            name: data[name] for name in self.secret_fields if data[name]
        }
        gone = {
            "image_pull_secret": data.get("forget_image_pull_secret"),
            "database_password": not data["database_host"],
            "logs_secret_key": data.get("forget_logs_secret_key") or self._has_no_key(),
            "registry_password": not (data["registry_repository"] and data["registry_user"]),
        }
        for name, is_gone in gone.items():
            if is_gone and getattr(self.cluster, name) is not None:
                typed[name] = None
        return typed

    def _has_no_key(self) -> bool:
        """Return whether S3 is used without an access key, so that there is no secret one."""
        data = self.cleaned_data
        return log_stores.kind_of(data["logs_url"]) in ("", "s3") and not data["logs_access_key"]

    def _matching(self, name: str, pattern: re.Pattern[str], message: str) -> str:
        text = str(self.cleaned_data[name])
        if text and not pattern.fullmatch(text):
            raise forms.ValidationError(message)
        return text


class WorkspacesForm(forms.Form):
    reach = forms.ChoiceField(
        label="Available to",
        choices=(("all", "All workspaces"), ("chosen", "Chosen workspaces")),
        widget=Choices(hints={"all": "Including workspaces created later."}),
    )
    workspaces = forms.ModelMultipleChoiceField(
        queryset=Workspace.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="If you choose workspaces.",
    )

    def __init__(self, *args: Any, cluster: Cluster, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["workspaces"]
        field.queryset = cluster.organization.workspaces.order_by("name")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("reach") == "chosen" and not data.get("workspaces"):
            self.add_error("workspaces", "Choose at least one workspace.")
        return data
