from typing import Any, cast

from django import forms

INHERIT, ON, OFF = "inherit", "on", "off"


class CompareForm(forms.Form):
    """Which Deployment to compare with; `choices` are Deployments with their workspaces."""

    to = forms.ChoiceField(label="Compare with")

    def __init__(self, *args: Any, choices: list[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        groups: dict[str, list[tuple[str, str]]] = {}
        for one in choices:
            groups.setdefault(str(one.workspace), []).append((one.ref, one.name))
        cast(forms.ChoiceField, self.fields["to"]).choices = list(groups.items())


class PromoteForm(forms.Form):
    """`deploy` and `base` are what the person has seen: see `services.promote`."""

    source = forms.SlugField(max_length=40)
    deploy = forms.IntegerField(min_value=1)
    base = forms.IntegerField(min_value=0)
    description = forms.CharField(required=False, max_length=500)


class DecisionForm(forms.Form):
    action = forms.ChoiceField(choices=[("approve", "approve"), ("decline", "decline")])
    base = forms.IntegerField(min_value=0)


class ApprovalForm(forms.Form):
    """`default` is that of the workspace, as a bool."""

    approval = forms.ChoiceField(label="Promotions to this Deployment", widget=forms.RadioSelect)

    def __init__(self, *args: Any, own: bool | None, default: bool, **kwargs: Any):
        chosen = INHERIT if own is None else ON if own else OFF
        super().__init__(*args, **{"initial": {"approval": chosen}, **kwargs})
        inherited = "need approval" if default else "need no approval"
        cast(forms.ChoiceField, self.fields["approval"]).choices = [
            (INHERIT, f"As in the workspace: {inherited}"),
            (ON, "Need the approval of another person"),
            (OFF, "Need no approval"),
        ]

    @property
    def is_on(self) -> bool | None:
        return {INHERIT: None, ON: True, OFF: False}[self.cleaned_data["approval"]]
