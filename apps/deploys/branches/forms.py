from typing import Any, cast

from django import forms

from apps.deployments.models import Deployment
from apps.deploys.branches.services import LONGEST_DAYS, MOST
from apps.deploys.models import BranchRule


class BranchRuleForm(forms.Form):
    pattern = forms.CharField(
        label="Branches",
        max_length=200,
        help_text="With * for anything: feature/* for example. Branches that a Deployment follows "
        "already are left out.",
        widget=forms.TextInput(attrs={"data-width": "m", "placeholder": "feature/*"}),
    )
    template = forms.ModelChoiceField(
        queryset=Deployment.objects.none(),
        empty_label=None,
        label="Like",
        help_text="Its configuration is taken, without secrets and with one worker per queue.",
    )
    path = forms.CharField(
        label="Folder",
        required=False,
        max_length=500,
        help_text="Inside of the repository. Empty: all of it.",
        widget=forms.TextInput(attrs={"data-width": "m", "placeholder": "dags"}),
    )
    most = forms.IntegerField(
        label="At a time",
        min_value=1,
        max_value=MOST,
        help_text="How many there may be. Each is a whole Airflow.",
        widget=forms.NumberInput(attrs={"data-width": "s"}),
    )
    days = forms.IntegerField(
        label="Deleted after",
        min_value=1,
        max_value=LONGEST_DAYS,
        help_text="At the latest: with its branch it goes at once.",
        widget=forms.NumberInput(attrs={"data-width": "s", "data-unit": "days"}),
    )

    def __init__(self, *args: Any, templates: Any, rule: BranchRule | None, **kwargs: Any):
        initial: dict[str, Any] = {"most": 3, "days": 7}
        if rule is not None:
            names = ("pattern", "template", "path", "most", "days")
            initial = {name: getattr(rule, name) for name in names}
        super().__init__(*args, **{"initial": initial, **kwargs})
        cast("forms.ModelChoiceField[Any]", self.fields["template"]).queryset = templates
