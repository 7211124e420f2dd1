from django import forms


class ScimTokenForm(forms.Form):
    name = forms.CharField(
        label="Token name", max_length=60, help_text="Which identity provider uses it."
    )
