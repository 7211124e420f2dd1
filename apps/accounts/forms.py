from django import forms

from apps.accounts.queries import time_zones
from apps.core.web.forms import Choices


def _zones() -> list[tuple[str, str]]:
    return [(zone, zone) for zone in time_zones()]


THEMES = {"device": "Same as device", "light": "Light", "dark": "Dark"}


class ProfileForm(forms.Form):
    """The theme is kept in the browser, the rest in the account."""

    name = forms.CharField(max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    time_zone = forms.ChoiceField(choices=_zones, help_text="Used for all times in the portal.")
    theme = forms.ChoiceField(choices=list(THEMES.items()), widget=Choices())
