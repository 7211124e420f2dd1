"""What the portal may use in a cluster."""

from typing import Any, ClassVar

from django import forms

from apps.clusters.forms.settings.database import DatabasePart
from apps.clusters.forms.settings.logs import LogsPart
from apps.clusters.forms.settings.registry import RegistryPart
from apps.clusters.models import Cluster
from apps.clusters.queries import deployments_in_words


class SettingsForm(RegistryPart, DatabasePart, LogsPart):
    """Settings of a cluster. An empty secret leaves the stored one; a tick removes it."""

    secret_fields: ClassVar = {
        "database_password": ("database_host", "database_port"),
        "logs_secret_key": ("logs_url", "logs_endpoint"),
        "image_pull_secret": (),
        "registry_password": ("registry_repository", "registry_user"),
    }
    ticks = ("apply_again", "forget_image_pull_secret", "forget_logs_secret_key")

    apply_again = forms.BooleanField(required=False)
    forget_image_pull_secret = forms.BooleanField(
        required=False, label="Remove the stored credentials"
    )
    forget_logs_secret_key = forms.BooleanField(required=False, label="Remove the stored key")

    def __init__(self, *args: Any, cluster: Cluster, deployment_count: int, **kwargs: Any) -> None:
        super().__init__(*args, cluster=cluster, **kwargs)
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
            "logs_secret_key": data.get("forget_logs_secret_key") or self.has_no_logs_key(),
            "registry_password": not (data["registry_repository"] and data["registry_user"]),
        }
        for name, is_gone in gone.items():
            if is_gone and getattr(self.cluster, name) is not None:
                typed[name] = None
        return typed
