"""Which workspaces may use a cluster."""

from typing import Any

from django import forms

from apps.clusters.models import Cluster
from apps.core.web.forms import Choices
from apps.organizations.models import Workspace


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
