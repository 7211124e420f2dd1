from decimal import Decimal
from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.db.models import QuerySet

from apps.deployments.models import Deployment
from apps.objectives.models import LONGEST_DAG

# What Airflow takes for an id of a DAG.
DAG_ID = RegexValidator(
    r"\A[\w.-]+\Z", "The id of a DAG has letters, digits, dots, dashes and underscores only."
)
LONGEST_MINUTES = 7 * 24 * 60


class TargetForm(forms.Form):
    """What an objective asks of the runs of its DAG."""

    target_percent = forms.DecimalField(
        label="Good runs",
        min_value=Decimal(1),
        max_value=Decimal("99.99"),
        decimal_places=2,
        initial=Decimal(99),
        help_text="Of a hundred runs that ended in the last 28 days. 99.99 at most: a target of "
        "100 leaves no budget.",
        widget=forms.NumberInput(attrs={"data-width": "s", "data-unit": "%", "step": "0.01"}),
    )
    limit_minutes = forms.IntegerField(
        label="Within",
        required=False,
        min_value=1,
        max_value=LONGEST_MINUTES,
        help_text="A run that takes longer is a bad one. Leave it empty if only success counts.",
        widget=forms.NumberInput(attrs={"data-width": "s", "data-unit": "minutes"}),
    )

    @property
    def limit_seconds(self) -> int | None:
        minutes: int | None = self.cleaned_data["limit_minutes"]
        return minutes * 60 if minutes else None


class ObjectiveForm(TargetForm):
    deployment = forms.ModelChoiceField(queryset=Deployment.objects.none())
    dag_id = forms.CharField(
        label="DAG",
        max_length=LONGEST_DAG,
        help_text="Its id, as in Airflow.",
        validators=[DAG_ID],
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    field_order = ("deployment", "dag_id", "target_percent", "limit_minutes")

    def __init__(self, data: Any, *, deployments: QuerySet[Deployment], **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        chosen: Any = self.fields["deployment"]
        chosen.queryset = deployments
