"""What the parts of the settings of a cluster share."""

import re
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django import forms

from apps.clusters.forms.namespaces import NamespacesField
from apps.clusters.forms.parts import KeptForm, NameForm
from apps.clusters.models import Cluster

NOT_A_CERTIFICATE = "This is not a certificate. It begins with -----BEGIN CERTIFICATE-----."
SIZE = re.compile(r"([1-9][0-9]{0,5})(Mi|Gi|Ti)")


class ClusterPart(NameForm, KeptForm):
    """Name, namespaces and volumes. A part adds its fields, and checks them together in `clean`."""

    namespaces = NamespacesField()
    storage_class = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, cluster: Cluster, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cluster = cluster

    def _size(self, name: str) -> str:
        size = str(self.cleaned_data[name])
        if not SIZE.fullmatch(size):
            raise forms.ValidationError("Enter a size like 5Gi or 500Mi.")
        return size

    def _certificates(self, name: str) -> str:
        text = str(self.cleaned_data[name]).replace("\r\n", "\n").strip()
        try:
            found = x509.load_pem_x509_certificates(text.encode()) if text else []
        except ValueError:
            raise forms.ValidationError(NOT_A_CERTIFICATE) from None
        # Written anew, so that nothing but certificates goes into the cluster.
        return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)

    def _matching(self, name: str, pattern: re.Pattern[str], message: str) -> str:
        text = str(self.cleaned_data[name])
        if text and not pattern.fullmatch(text):
            raise forms.ValidationError(message)
        return text

    def _need(self, name: str, message: str) -> None:
        if not self.cleaned_data.get(name) and name not in self.errors:
            self.add_error(name, message)
