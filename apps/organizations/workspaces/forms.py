from django import forms


class OrganizationForm(forms.Form):
    name = forms.CharField(max_length=80)


class WorkspaceForm(forms.Form):
    name = forms.CharField(max_length=50, help_text="Unique in the organization.")
    description = forms.CharField(
        required=False, max_length=250, help_text="Whose pipelines run here?"
    )
