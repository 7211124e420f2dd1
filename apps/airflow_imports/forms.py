from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings

from apps.airflow_imports.queries import this_machine
from apps.airflow_imports.services import ImportData
from apps.clusters.models import Cluster
from apps.clusters.queries import clusters_for
from apps.deployments.configuration.options import (
    CELERY,
    EXECUTORS,
    KUBERNETES,
    LOCAL,
    ExecutorOption,
)
from apps.organizations.models import Workspace
from apps.runtimes.catalogue import Runtime

_PLAIN = {"autocomplete": "off", "spellcheck": "false"}
UPLOAD_PROBLEMS = {
    "too-large": "The file is larger than {limit}. The operator raises the limit with the setting "
    "PORTAL_IMPORT_MAX_MIB; or let the portal read the running database.",
    "disk-full": "The disk of the portal is full. Free some space, and upload the file again.",
}


class ImportForm(forms.Form):
    dump = forms.FileField(
        label="Dump or airflow.db",
        required=False,
        help_text="A dump of pg_dump, custom or plain, or the airflow.db of a stopped airflow "
        "standalone; also with gzip.",
    )
    host = forms.CharField(
        label="Host name",
        max_length=253,
        required=False,
        widget=forms.TextInput(attrs={"data-width": "m", **_PLAIN}),
        help_text="Or the PostgreSQL server whose database is read, which is not changed.",
    )
    port = forms.IntegerField(
        label="Port",
        min_value=1,
        max_value=65_535,
        initial=5432,
        widget=forms.NumberInput(attrs={"data-width": "s"}),
    )
    database = forms.CharField(
        label="Database",
        max_length=63,
        required=False,
        widget=forms.TextInput(attrs={"data-width": "m", **_PLAIN}),
    )
    user = forms.CharField(
        label="User",
        max_length=63,
        required=False,
        help_text="One that may only read is enough.",
        widget=forms.TextInput(attrs={"data-width": "m", **_PLAIN}),
    )
    password = forms.CharField(
        label="Password",
        max_length=1000,
        required=False,
        strip=False,
        help_text="Stored encrypted, never shown, and forgotten when the database was read.",
        widget=forms.PasswordInput(attrs={"data-width": "m", "autocomplete": "new-password"}),
    )
    encryption = forms.ChoiceField(
        label="Connection",
        choices=[
            ("verified", "TLS, certificate checked"),
            ("unverified", "TLS, any certificate"),
            ("none", "Without encryption"),
        ],
        widget=forms.Select(attrs={"data-width": "m"}),
    )
    ca_certificate = forms.CharField(
        label="CA certificate",
        max_length=50_000,
        required=False,
        help_text="Of a private CA that signed the certificate of the server, in PEM.",
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "class": "mono"}),
    )
    fernet_key = forms.CharField(
        label="Fernet key",
        max_length=1000,
        required=False,
        help_text="AIRFLOW__CORE__FERNET_KEY of that Airflow, or fernet_key in its airflow.cfg. "
        "Its connections and variables are encrypted anew, with a key that the portal makes.",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    options = forms.CharField(
        label="Its configuration",
        max_length=200_000,
        required=False,
        strip=False,
        help_text="airflow.cfg, or environment variables, to learn what has no meaning here. "
        "Values are thrown away.",
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "class": "mono"}),
    )

    def __init__(self, *args: Any, problem: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.problem = problem

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.problem in UPLOAD_PROBLEMS:
            limit = f"{settings.IMPORT_MAX_BYTES // 1024**2:,} MiB"
            self.add_error("dump", UPLOAD_PROBLEMS[self.problem].format(limit=limit))
        if data.get("dump") and data.get("host"):
            self.add_error("host", "Upload a file or enter a server, not both.")
        return data

    def data_entered(self) -> ImportData:
        values = dict(self.cleaned_data)
        dump = values.pop("dump")
        name = dump.name[:200] if dump else f"{values['database']} at {values['host']}"[:200]
        return ImportData(
            name=name, dump=Path(dump.temporary_file_path()) if dump else None, **values
        )


class CreateForm(forms.Form):
    name = forms.CharField(
        label="Name of the new Deployment",
        max_length=60,
        widget=forms.TextInput(attrs={"data-width": "m", "autocomplete": "off"}),
    )
    runtime = forms.ChoiceField(label="Runtime", widget=forms.Select(attrs={"data-width": "m"}))
    cluster = forms.ModelChoiceField(
        label="Cluster",
        queryset=Cluster.objects.none(),
        empty_label=None,
        help_text="One of Kubernetes gets the database from the organization's bucket for backups.",
        widget=forms.Select(attrs={"data-width": "m"}),
    )
    executor = forms.ChoiceField(label="Executor", widget=forms.Select(attrs={"data-width": "m"}))

    def __init__(
        self, *args: Any, workspace: Workspace, runtimes: list[Runtime], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        usable, here = clusters_for(workspace=workspace), this_machine(workspace)
        executor = self.fields["executor"]
        offered: tuple[ExecutorOption, ...] = EXECUTORS
        if list(usable) == [here] and "cluster" not in self.data:
            # There is nothing to choose; a choice that was there before is refused.
            del self.fields["cluster"]
            offered = (CELERY, LOCAL)
        else:
            self.fields["cluster"].queryset = usable  # type: ignore[attr-defined]  # a choice field
            self.fields["cluster"].initial = here
            if here is None:
                offered = (CELERY, KUBERNETES)
            else:
                executor.help_text = (
                    "Local is for the portal's own machine, Kubernetes for clusters."
                )
        executors = [(one.name, one.label) for one in offered]
        executor.choices = executors  # type: ignore[attr-defined]  # a choice field
        choices = [
            (one.version, f"{one.version}, Airflow {one.airflow_version}") for one in runtimes
        ]
        self.fields["runtime"].choices = choices  # type: ignore[attr-defined]  # a choice field
