from django import forms


class DomainForm(forms.Form):
    name = forms.CharField(label="Domain", max_length=253, help_text="The part after the @.")
