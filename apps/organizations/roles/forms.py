from typing import Any

from django import forms
from django.db.models import QuerySet

from apps.access.models import Role
from apps.access.roles.catalogue import (
    PERMISSIONS,
    PREREQUISITES,
    grouped,
    missing_prerequisites,
    prerequisites_in_words,
)
from apps.organizations.forms import RoleField
from apps.organizations.models import Workspace


class PermissionChoices(forms.CheckboxSelectMultiple):
    """Boxes that name what they need, so that the page can tick both at once."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        option["attrs"]["data-needs"] = PREREQUISITES.get(str(value), "")
        return option


class CustomRoleForm(forms.Form):
    """`allowed` are the permissions that the writer may put into a role of the scope. Cleans to
    arguments of `create_role`.
    """

    name = forms.CharField(max_length=80)
    description = forms.CharField(
        required=False, max_length=250, help_text="Shown wherever a role is selected."
    )

    def __init__(
        self,
        *args: Any,
        scope: str,
        allowed: frozenset[str],
        workspaces: QuerySet[Workspace],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.scope: Any = scope
        choices = [
            (title, [(one, PERMISSIONS[one]) for one in of_group])
            for title, of_group in grouped(allowed - {f"{scope}.view"}).items()
        ]
        self.fields["permissions"] = forms.MultipleChoiceField(
            label="Permissions",
            required=False,
            choices=choices,
            widget=PermissionChoices,
            help_text=f"“{PERMISSIONS[f'{scope}.view']}” is always included.",
            error_messages={"invalid_choice": "You cannot add this permission to the role."},
        )
        self.fields["is_limited"] = forms.BooleanField(
            label="Limit to selected workspaces", required=False
        )
        self.fields["workspaces"] = forms.ModelMultipleChoiceField(
            label="Workspaces",
            required=False,
            queryset=workspaces,
            widget=forms.CheckboxSelectMultiple,
            help_text="Used with “Limit to selected workspaces”.",
            error_messages={"invalid_choice": "This workspace no longer exists."},
        )
        if scope == "organization":
            del self.fields["is_limited"], self.fields["workspaces"]

    def clean_permissions(self) -> list[str]:
        chosen: list[str] = self.cleaned_data["permissions"]
        missing = missing_prerequisites([*chosen, f"{self.scope}.view"], self.scope)
        if missing:
            raise forms.ValidationError(prerequisites_in_words(missing))
        return chosen

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        cleaned.setdefault("is_limited", False)
        cleaned["workspaces"] = list(cleaned.get("workspaces") or [])
        if cleaned["is_limited"] and not cleaned["workspaces"] and "workspaces" not in self.errors:
            self.add_error("workspaces", "Select at least one workspace.")
        return cleaned


class InsteadForm(forms.Form):
    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["instead"] = RoleField(label="Replacement role", roles=roles)
