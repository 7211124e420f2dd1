from django import forms

from apps.accounts.queries import time_zones


def _zones() -> list[tuple[str, str]]:
    return [(zone, zone) for zone in time_zones()]


class ProfileForm(forms.Form):
    name = forms.CharField(max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    time_zone = forms.ChoiceField(choices=_zones, help_text="Pages show times in this zone.")
