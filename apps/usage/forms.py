from decimal import Decimal

from django import forms
from django.core.validators import RegexValidator

from apps.core.web.forms import in_this_century

CURRENCY = RegexValidator(r"\A[A-Z]{3}\Z", "Enter the three letters of a currency, such as EUR.")


class PriceForm(forms.Form):
    """What an hour of a worker costs from a day on."""

    amount = forms.DecimalField(
        label="A worker hour costs",
        min_value=Decimal(0),
        max_value=Decimal(100_000),
        decimal_places=6,
        widget=forms.NumberInput(attrs={"data-width": "s", "step": "0.000001"}),
    )
    currency = forms.CharField(
        max_length=3,
        validators=[CURRENCY],
        help_text="Three letters, such as EUR. All prices have the same one.",
        widget=forms.TextInput(attrs={"data-width": "s", "autocomplete": "off"}),
    )
    valid_from = forms.DateField(
        label="From",
        help_text="This day on (UTC), until another price begins. The first price holds for the "
        "time before it, too.",
        widget=forms.DateInput(attrs={"type": "date", "data-width": "s"}, format="%Y-%m-%d"),
        validators=[in_this_century],
    )
