from collections.abc import Sequence
from typing import Any

from django import forms

from apps.clusters.models import Cluster
from apps.deployments.models import Deployment
from apps.moving.copying.services import Parts
from apps.organizations.models import Workspace


class CopyForm(forms.Form):
    name = forms.CharField(
        label="Name of the copy",
        max_length=60,
        widget=forms.TextInput(attrs={"data-width": "m", "autocomplete": "off"}),
    )
    workspace = forms.ModelChoiceField(
        Workspace.objects.none(),
        empty_label=None,
        widget=forms.Select(attrs={"data-width": "m"}),
    )
    cluster = forms.ModelChoiceField(
        Cluster.objects.none(),
        empty_label=None,
        widget=forms.Select(attrs={"data-width": "m"}),
    )
    fits = forms.BooleanField(
        label="Replace what the other cluster does not offer",
        required=False,
        help_text="Executor, sizes and numbers of workers, nodes and settings become what is usual "
        "there. Without it the copy is refused, and what does not fit is said.",
    )
    code = forms.BooleanField(
        required=False,
        initial=True,
        help_text="Exactly what runs now, with its packages. Without it the copy has the examples.",
    )
    variables = forms.BooleanField(
        label="Environment variables",
        required=False,
        initial=True,
        help_text="Secret values go along encrypted.",
    )
    objects = forms.BooleanField(
        label="Connections, variables and package indexes",
        required=False,
        initial=True,
        help_text=(
            "Its own are copied, those of the workspace are linked. In another workspace those of "
            "that workspace take their place."
        ),
    )

    def __init__(
        self,
        data: Any,
        *,
        source: Deployment,
        workspaces: Sequence[Workspace],
        clusters: Sequence[Cluster],
        has_code: bool,
    ) -> None:
        initial = {"name": f"{source.name[:55]}-copy", "cluster": source.cluster_id}
        super().__init__(data, initial=initial)
        field: Any = self.fields["workspace"]
        field.queryset = Workspace.objects.filter(pk__in=[one.pk for one in workspaces])
        field.choices = [(one.pk, one.name) for one in workspaces]
        on: Any = self.fields["cluster"]
        on.queryset = Cluster.objects.filter(pk__in=[one.pk for one in clusters])
        on.choices = [(one.pk, one.name) for one in clusters]
        if [one.pk for one in clusters] in ([], [source.cluster_id]):
            del self.fields["cluster"], self.fields["fits"]
        if not has_code:
            del self.fields["code"]

    def parts(self) -> Parts:
        data = self.cleaned_data
        return Parts(
            code=data.get("code", False),
            variables=data["variables"],
            objects=data["objects"],
            fits=data.get("fits", False),
        )
