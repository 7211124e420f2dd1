from typing import Any

from django import forms

from apps.organizations.models import Team
from apps.sso.models import SSOConnection


class GroupForm(forms.Form):
    group = forms.CharField(
        label="Group", max_length=200, help_text="Exactly as the identity provider sends it."
    )
    team = forms.ModelChoiceField(label="Team", queryset=Team.objects.none(), empty_label=None)

    def __init__(self, *args: Any, connection: SSOConnection, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        team = self.fields["team"]
        assert isinstance(team, forms.ModelChoiceField)  # noqa: S101 - declared above
        team.queryset = Team.objects.filter(
            organization_id=connection.organization_id, scim_record=None
        ).order_by("name")
