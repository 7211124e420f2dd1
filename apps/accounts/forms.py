from django import forms

from apps.accounts.queries import time_zones
from apps.core.forms import Choices


def _zones() -> list[tuple[str, str]]:
    return [(zone, zone) for zone in time_zones()]


THEMES = {"device": "As this device has it", "light": "Light", "dark": "Dark"}


class ProfileForm(forms.Form):
    """The theme is kept in the browser, the rest in the account."""

    name = forms.CharField(max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    time_zone = forms.ChoiceField(choices=_zones, help_text="Pages show times in this zone.")
    theme = forms.ChoiceField(choices=list(THEMES.items()), widget=Choices())
