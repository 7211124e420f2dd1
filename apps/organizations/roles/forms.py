from typing import Any

from django import forms
from django.db.models import QuerySet

from apps.access.catalogue import PERMISSIONS, grouped
from apps.access.models import Role
from apps.organizations.forms import RoleField
from apps.organizations.models import Workspace


class CustomRoleForm(forms.Form):
    """`allowed` are the permissions that the writer may put into a role of the scope. Cleans to
    arguments of `create_role`.
    """

    name = forms.CharField(max_length=80)
    description = forms.CharField(
        required=False, max_length=250, help_text="Stands under the name where a role is chosen."
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
        choices = [
            (title, [(one, PERMISSIONS[one]) for one in of_group])
            for title, of_group in grouped(allowed - {f"{scope}.view"}).items()
        ]
        self.fields["permissions"] = forms.MultipleChoiceField(
            label="May",
            required=False,
            choices=choices,
            widget=forms.CheckboxSelectMultiple,
            help_text=f"Besides “{PERMISSIONS[f'{scope}.view']}”, which each of them holds.",
            error_messages={"invalid_choice": "You cannot put this into the role."},
        )
        self.fields["is_limited"] = forms.BooleanField(
            label="Only in some workspaces", required=False
        )
        self.fields["workspaces"] = forms.ModelMultipleChoiceField(
            label="Which workspaces",
            required=False,
            queryset=workspaces,
            widget=forms.CheckboxSelectMultiple,
            help_text="Only with “Only in some workspaces”.",
            error_messages={"invalid_choice": "This workspace is not there any more."},
        )
        if scope == "organization":
            del self.fields["is_limited"], self.fields["workspaces"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        cleaned.setdefault("is_limited", False)
        cleaned["workspaces"] = list(cleaned.get("workspaces") or [])
        if cleaned["is_limited"] and not cleaned["workspaces"] and "workspaces" not in self.errors:
            self.add_error("workspaces", "Choose at least one workspace.")
        return cleaned


class InsteadForm(forms.Form):
    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["instead"] = RoleField(label="Give them instead", roles=roles)
