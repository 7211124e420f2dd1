from collections.abc import Sequence
from typing import Any, cast

from django import forms
from django.db.models import QuerySet

from apps.access.models import Role
from apps.accounts.models import User
from apps.core.forms import Choices


class RoleForm(forms.Form):
    """Who gets which role on one Deployment. `roles` are those that the giver may give."""

    person = forms.ModelChoiceField(
        queryset=User.objects.none(),
        empty_label="Choose a person",
        error_messages={"required": "Choose a person."},
    )
    role = forms.ChoiceField(widget=Choices(), error_messages={"required": "Choose a role."})

    def __init__(
        self, *args: Any, people: QuerySet[User], roles: Sequence[Role], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.roles = {role.key: role for role in roles}
        cast("forms.ModelChoiceField[User]", self.fields["person"]).queryset = people
        self.fields["role"].widget = Choices(hints={one.key: one.description for one in roles})
        choices = [(one.key, one.name) for one in roles]
        cast(forms.ChoiceField, self.fields["role"]).choices = choices

    @property
    def chosen_role(self) -> Role:
        return self.roles[self.cleaned_data["role"]]
