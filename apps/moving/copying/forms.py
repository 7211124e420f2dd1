from collections.abc import Sequence
from typing import Any

from django import forms

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
        self, data: Any, *, source: Deployment, workspaces: Sequence[Workspace], has_code: bool
    ) -> None:
        super().__init__(data, initial={"name": f"{source.name[:55]}-copy"})
        field: Any = self.fields["workspace"]
        field.queryset = Workspace.objects.filter(pk__in=[one.pk for one in workspaces])
        field.choices = [(one.pk, one.name) for one in workspaces]
        if not has_code:
            del self.fields["code"]

    def parts(self) -> Parts:
        data = self.cleaned_data
        return Parts(
            code=data.get("code", False), variables=data["variables"], objects=data["objects"]
        )
