"""Where images and packages come from, and where those of projects are stored."""

import json
import re
from typing import Any

from django import forms

from apps.clusters.forms.parts import WriteOnlyText
from apps.clusters.forms.settings.part import ClusterPart

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


class RegistryPart(ClusterPart):
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

    def clean_registry_ca(self) -> str:
        return self._certificates("registry_ca")

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
        self._clean_registry(data)
        return data

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
