"""The form of a rule."""

from operator import attrgetter
from typing import Any

from django import forms

from apps.alerts.channels.models import Channel
from apps.alerts.pages.forms.fields import DAYS, STAR, PatternField, with_workspace, zones
from apps.alerts.rules.kinds import ABOUT, Grouping, RuleKind
from apps.alerts.rules.models import Rule
from apps.core.web.forms import Choices
from apps.deployments.models import Deployment
from apps.observability.incidents.kinds import KINDS, Severity

REPEATS = (
    (0, "Do not repeat"),
    (30, "Every 30 minutes"),
    (120, "Every 2 hours"),
    (1440, "Every day"),
)
ESCALATIONS = (
    (0, "Do not escalate"),
    (5, "After 5 minutes"),
    (15, "After 15 minutes"),
    (30, "After 30 minutes"),
    (60, "After 1 hour"),
    (240, "After 4 hours"),
)

# What says where a rule looks.
WATCHED = ("deployment", "deployments", "dags", "tags", "without_dags")


class RuleForm(forms.Form):
    """A rule of one kind: fields that the kind has no use for are not there."""

    name = forms.CharField(
        max_length=80, widget=forms.TextInput(attrs={"data-width": "l", "autocomplete": "off"})
    )
    deployment = forms.ModelChoiceField(
        queryset=Deployment.objects.none(), required=False, empty_label="All Deployments here"
    )
    deployments = PatternField(
        label="Deployment names", help_text=f"Where no single one is chosen. {STAR}"
    )
    incident_kinds = forms.MultipleChoiceField(
        label="Kinds of incidents",
        required=False,
        choices=[(one.key, one.label) for one in sorted(KINDS.values(), key=attrgetter("label"))],
        widget=forms.CheckboxSelectMultiple,
        help_text="None means all.",
    )
    dags = PatternField(label="DAGs", help_text=f"Empty means all. {STAR}")
    tasks = PatternField(label="Tasks", help_text=f"Empty means all. {STAR}")
    tags = PatternField(label="Tags", help_text=f"Only DAGs with one of these. {STAR}")
    without_dags = PatternField(label="Except these DAGs", help_text=STAR)
    limit_minutes = forms.IntegerField(
        label="Longer than",
        min_value=1,
        max_value=7 * 24 * 60,
        widget=forms.NumberInput(attrs={"data-width": "s", "data-unit": "minutes"}),
    )
    due_at = forms.TimeField(
        label="Finished by",
        input_formats=["%H:%M", "%H:%M:%S"],
        widget=forms.TimeInput(format="%H:%M", attrs={"type": "time", "data-width": "s"}),
        error_messages={"invalid": "Enter a time of day such as 06:30."},
    )
    zone = forms.ChoiceField(
        label="Time zone", initial="UTC", help_text="The deadline follows its summer time."
    )
    weekdays = forms.TypedMultipleChoiceField(
        label="Days",
        coerce=int,
        choices=DAYS,
        initial=list(range(7)),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one day."},
    )
    within_hours = forms.IntegerField(
        label="A run counts if it succeeded within",
        min_value=1,
        max_value=48,
        initial=24,
        widget=forms.NumberInput(attrs={"data-width": "s", "data-unit": "hours before"}),
    )
    severity = forms.TypedChoiceField(
        coerce=int, choices=Severity.choices, initial=Severity.WARNING, widget=Choices()
    )
    channels = forms.ModelMultipleChoiceField(
        queryset=Channel.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one channel, or nothing is told."},
    )
    grouping = forms.ChoiceField(
        label="Messages", choices=Grouping.choices, initial=Grouping.DEPLOYMENT, widget=Choices()
    )
    repeat_minutes = forms.TypedChoiceField(
        label="Repeat while it lasts", coerce=int, choices=REPEATS, initial=0
    )
    tells_resolved = forms.BooleanField(
        label="Notify when it is resolved", required=False, initial=True
    )
    escalate_minutes = forms.TypedChoiceField(
        label="Escalate if no one acknowledges", coerce=int, choices=ESCALATIONS, initial=0
    )
    escalate_to = forms.ModelChoiceField(
        label="Escalate to", queryset=Channel.objects.none(), required=False
    )

    def __init__(
        self,
        data: Any,
        *,
        rule: Rule,
        channels: Any,
        deployments: Any,
    ) -> None:
        self.rule = rule
        super().__init__(data, initial=_initial(rule, channels))
        fields: dict[str, Any] = self.fields
        fields["zone"].choices = zones()
        fields["channels"].queryset = fields["escalate_to"].queryset = channels
        fields["deployment"].queryset = deployments
        fields["deployment"].label_from_instance = with_workspace
        for name in _unused(rule):
            del self.fields[name]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("escalate_minutes") and not data.get("escalate_to"):
            self.add_error("escalate_to", "Choose the channel to escalate to.")
        return data

    def watching(self) -> Rule:
        """Return the rule with where it is to look, as far as that is entered well, not saved."""
        entered = self.cleaned_data if self.is_bound and self.errors is not None else {}
        for name in WATCHED:
            if name in entered:
                setattr(self.rule, name, entered[name])
        if self.rule.deployment is not None:
            self.rule.deployments = ""
        return self.rule

    def filled(self) -> Rule:
        """Return the rule with what was entered, not saved."""
        data, rule = self.cleaned_data, self.rule
        for name in self.fields:
            if name not in ("channels", "limit_minutes"):
                setattr(rule, name, data[name])
        if "limit_minutes" in data:
            rule.limit_seconds = data["limit_minutes"] * 60
        if rule.deployment is not None:
            rule.deployments = ""
        if not rule.escalate_minutes:
            rule.escalate_to = None
        return rule


def _unused(rule: Rule) -> list[str]:
    about, unused = ABOUT[rule.kind], []
    if rule.kind == RuleKind.INCIDENT:
        unused += ["dags", "without_dags", "tags", "grouping"]
    else:
        unused.append("incident_kinds")
    if not about.has_tasks:
        unused.append("tasks")
    if not about.has_limit:
        unused.append("limit_minutes")
    if rule.kind != RuleKind.DAG_LATE:
        unused += ["due_at", "zone", "weekdays", "within_hours"]
    if about.is_moment:
        unused += ["repeat_minutes", "tells_resolved", "escalate_minutes", "escalate_to"]
    return unused


def _initial(rule: Rule, channels: Any) -> dict[str, Any]:
    if rule.pk is None:
        only = list(channels[:2])
        chosen = only if len(only) == 1 else []
        return {"name": rule.get_kind_display(), "channels": chosen}
    stored = {name: getattr(rule, name) for name in RuleForm.base_fields if hasattr(rule, name)}
    minutes = rule.limit_seconds // 60 if rule.limit_seconds else None
    return stored | {"channels": rule.channels.all(), "limit_minutes": minutes}
