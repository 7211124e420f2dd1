import json
from typing import Any

from django import forms

from apps.core.web.forms import Choices

LONGEST_CONF = 50_000
ONLY_FAILED, ALL = "failed", "all"


class TriggerForm(forms.Form):
    conf = forms.CharField(
        label="Configuration",
        required=False,
        max_length=LONGEST_CONF,
        help_text='A JSON object for the run, for example {"day": "2026-11-28"}. Airflow shows it '
        "to everyone who may view the DAG: write no secrets.",
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
    )
    note = forms.CharField(
        label="Note",
        required=False,
        max_length=500,
        help_text="Shown at the run with your name, in Airflow too.",
        widget=forms.TextInput(attrs={"data-width": "l"}),
    )

    def clean_conf(self) -> dict[str, Any]:
        text = self.cleaned_data["conf"].strip()
        if not text:
            return {}
        try:
            conf = json.loads(text)
        except json.JSONDecodeError as error:
            where = f"Line {error.lineno}, column {error.colno}: {error.msg}."
            raise forms.ValidationError(f"This is not JSON. {where}") from error
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(
                "This is nested too deeply, or a number is too long."
            ) from error
        if not isinstance(conf, dict):
            raise forms.ValidationError("The configuration of a run is a JSON object: { … }.")
        return conf


class ClearRunForm(forms.Form):
    tasks = forms.ChoiceField(
        label="Tasks",
        choices=[(ONLY_FAILED, "Tasks that failed"), (ALL, "All tasks")],
        initial=ONLY_FAILED,
        widget=Choices(
            hints={
                ONLY_FAILED: "With those that did not run because of them.",
                ALL: "Whatever their state. Running ones are stopped first.",
            }
        ),
    )


class ClearTaskForm(forms.Form):
    with_downstream = forms.BooleanField(
        label="Also the tasks that depend on it",
        required=False,
        initial=True,
    )


class MarkForm(forms.Form):
    """Nothing to choose: the page asks to confirm."""
