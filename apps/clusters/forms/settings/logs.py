"""Where the logs of tasks are kept."""

import re
from typing import Any

from django import forms

from apps.clusters.forms import log_stores
from apps.clusters.forms.parts import WriteOnlyText
from apps.clusters.forms.settings.part import ClusterPart
from apps.clusters.models import Cluster
from apps.core.web.forms import Choices

ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,300}/?")


class LogsPart(ClusterPart):
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
        "where the workload identity of each Deployment has the right. Rights of nodes do not "
        "count: pods cannot ask for them.",
        widget=WriteOnlyText(attrs={"rows": 3, "spellcheck": "false", "data-kind": "code"}),
    )

    def clean_logs_size(self) -> str:
        return self._size("logs_size")

    def clean_logs_url(self) -> str:
        url = str(self.cleaned_data["logs_url"])
        if url and not log_stores.is_store(url):
            raise forms.ValidationError(log_stores.WRONG)
        return url

    def clean_logs_endpoint(self) -> str:
        message = "Enter an address like https://minio.example.org, without a path."
        return self._matching("logs_endpoint", ENDPOINT, message)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("logs_in") == Cluster.LogsIn.OBJECT_STORE:
            self._need("logs_url", "Enter the bucket, container or index for logs.")
        self._clean_logs(data)
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

    def has_no_logs_key(self) -> bool:
        """Return whether S3 is used without an access key, so that there is no secret one."""
        data = self.cleaned_data
        return log_stores.kind_of(data["logs_url"]) in ("", "s3") and not data["logs_access_key"]
