"""The forms of rules, channels and silences."""

from datetime import timedelta
from operator import attrgetter
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.utils import timezone

from apps.alerts.channels.addresses import checked_address
from apps.alerts.channels.kinds import NEEDS, ChannelKind
from apps.alerts.channels.models import Channel
from apps.alerts.channels.services import ChannelData
from apps.alerts.places import Place, fields_of
from apps.alerts.rules.kinds import ABOUT, Grouping, RuleKind
from apps.alerts.rules.matching import MOST_PATTERNS, patterns_of
from apps.alerts.rules.models import WEEKDAYS, Rule
from apps.alerts.silences.models import Silence
from apps.core.errors import Invalid
from apps.core.web.forms import Choices, in_this_century
from apps.dags.airflow.api import is_id
from apps.deployments.models import Deployment
from apps.observability.incidents.kinds import KINDS, Severity
from apps.organizations.models import Organization

MOST_ADDRESSES = 20
SHORTEST_SECRET = 16
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
LENGTHS = (
    (1, "1 hour"),
    (2, "2 hours"),
    (4, "4 hours"),
    (8, "8 hours"),
    (24, "1 day"),
    (72, "3 days"),
    (168, "7 days"),
)
DAYS = list(enumerate(WEEKDAYS))
STAR = "<code>*</code> stands for any characters; separate several by commas."
CODE = {"class": "mono", "spellcheck": "false", "autocomplete": "off"}


def zones() -> list[tuple[str, str]]:
    """List the time zones that a form offers."""
    return [(one, one) for one in sorted(available_timezones()) if "/" in one or one == "UTC"]


class PatternField(forms.CharField):
    """Names with `*`, separated by commas."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False, max_length=500, widget=forms.TextInput(attrs=CODE), **kwargs
        )

    def clean(self, value: Any) -> str:
        text = str(super().clean(value))
        found = patterns_of(text)
        if len(text.split(",")) > MOST_PATTERNS:
            raise forms.ValidationError(f"Enter at most {MOST_PATTERNS} names.")
        return ", ".join(found)


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
        fields["deployment"].label_from_instance = _with_workspace
        for name in _unused(rule):
            del self.fields[name]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("escalate_minutes") and not data.get("escalate_to"):
            self.add_error("escalate_to", "Choose the channel to escalate to.")
        return data

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


def _with_workspace(deployment: Deployment) -> str:
    return f"{deployment.name} ({deployment.workspace})"


class ChannelForm(forms.Form):
    """A channel of one kind. Secrets are written and never shown."""

    name = forms.CharField(
        max_length=80, widget=forms.TextInput(attrs={"autocomplete": "off", "data-width": "l"})
    )
    to = forms.CharField(
        label="Send to",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=f"Email addresses, one in each line, {MOST_ADDRESSES} at most.",
    )
    url = forms.CharField(
        label="Address",
        max_length=2000,
        required=False,
        widget=forms.TextInput(attrs={**CODE, "data-width": "l", "inputmode": "url"}),
    )
    key = forms.CharField(
        max_length=500,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "data-width": "l"}),
    )
    deployment = forms.ModelChoiceField(
        queryset=Deployment.objects.none(), empty_label="Choose a Deployment"
    )
    dag = forms.CharField(
        label="DAG",
        max_length=250,
        widget=forms.TextInput(attrs={**CODE, "data-width": "l"}),
        help_text="Each message makes a run in your name. <code>conf</code> holds it as "
        "<code>alert</code>.",
    )
    room = forms.RegexField(
        r"^[A-Z0-9]{5,20}$",
        label="Channel ID",
        widget=forms.TextInput(attrs={**CODE, "data-width": "m"}),
        help_text="Slack shows it at the end of the details of a channel, such as C0123ABCD.",
        error_messages={"invalid": "Enter the ID, such as C0123ABCD, not the name."},
    )
    region = forms.ChoiceField(
        label="Service region", choices=[("us", "United States"), ("eu", "European Union")]
    )
    is_shared = forms.BooleanField(label="Offer it to the rules of all workspaces", required=False)

    def __init__(
        self,
        data: Any,
        *,
        kind: str,
        place: Place,
        channel: Channel | None,
        deployments: QuerySet[Deployment],
    ) -> None:
        self.kind, self.channel = kind, channel
        super().__init__(data, initial=_initial_of_channel(kind, channel))
        needs = NEEDS[kind]
        stored = " Leave it empty to keep the stored one." if channel else ""
        self.fields["url"].help_text = f"It begins with https:// and is never shown again.{stored}"
        self.fields["key"].label = needs.key_label
        self.fields["key"].help_text = f"{needs.key_hint}{stored}"
        if kind != ChannelKind.EMAIL:
            del self.fields["to"]
        if not needs.has_url:
            del self.fields["url"]
        if not needs.key_label:
            del self.fields["key"]
        if kind not in (ChannelKind.PAGERDUTY, ChannelKind.OPSGENIE):
            del self.fields["region"]
        if not needs.has_room:
            del self.fields["room"]
        if needs.has_dag:
            chooser: Any = self.fields["deployment"]
            chooser.queryset, chooser.label_from_instance = deployments, _with_workspace
        else:
            del self.fields["deployment"], self.fields["dag"]
        if not isinstance(place, Organization):
            del self.fields["is_shared"]

    def clean_to(self) -> tuple[str, ...]:
        lines = self.cleaned_data["to"].replace(",", "\n").splitlines()
        found = tuple(dict.fromkeys(one.strip() for one in lines if one.strip()))
        for one in found:
            try:
                validate_email(one)
            except forms.ValidationError:
                raise forms.ValidationError(f"“{one[:80]}” is no email address.") from None
        if len(found) > MOST_ADDRESSES:
            raise forms.ValidationError(f"Enter at most {MOST_ADDRESSES} addresses.")
        return found

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"]).strip()
        if not url and self.channel is not None:
            return ""
        try:
            return checked_address(url)
        except Invalid as error:
            raise forms.ValidationError(error.message) from None

    def clean_key(self) -> str:
        key = str(self.cleaned_data["key"]).strip()
        if key and not (key.isascii() and key.isprintable()):
            raise forms.ValidationError("It contains characters that no key has.")
        if key and self.kind == ChannelKind.WEBHOOK and len(key) < SHORTEST_SECRET:
            raise forms.ValidationError(f"Enter at least {SHORTEST_SECRET} characters.")
        return key

    def clean_dag(self) -> str:
        dag = str(self.cleaned_data["dag"]).strip()
        if not is_id(dag):
            raise forms.ValidationError("Enter the ID of a DAG, such as page_oncall.")
        return dag

    def data_entered(self) -> ChannelData:
        """Return what was entered, for the services."""
        return ChannelData(**self.cleaned_data)


def _initial_of_channel(kind: str, channel: Channel | None) -> dict[str, Any]:
    if channel is None:
        return {"name": ChannelKind(kind).label}
    to = "\n".join(channel.config.get("to", []))
    region = channel.config.get("region", "us")
    return {
        "name": channel.name,
        "to": to,
        "region": region,
        "is_shared": channel.is_shared,
        "deployment": channel.config.get("deployment"),
        "dag": channel.config.get("dag"),
        "room": channel.config.get("room"),
    }


class SilenceForm(forms.Form):
    """A silence from now or from a moment on, once or every week."""

    deployment = forms.ModelChoiceField(
        queryset=Deployment.objects.none(), required=False, empty_label="All Deployments here"
    )
    dags = PatternField(label="DAGs", help_text=f"Empty means all, and incidents too. {STAR}")
    begins_at = forms.DateTimeField(
        label="From",
        required=False,
        widget=forms.DateTimeInput(
            format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local", "data-width": "m"}
        ),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
        help_text="Empty means now. In your time zone.",
        validators=[in_this_century],
        error_messages={"invalid": "Enter a date and a time such as 2026-12-01 22:00."},
    )
    hours = forms.TypedChoiceField(label="For", coerce=int, choices=LENGTHS, initial=2)
    weekdays = forms.TypedMultipleChoiceField(
        label="Every week on",
        required=False,
        coerce=int,
        choices=DAYS,
        widget=forms.CheckboxSelectMultiple,
        help_text="For maintenance windows: at this time of day, on these days. None means once.",
    )
    reason = forms.CharField(
        max_length=200, required=False, widget=forms.TextInput(attrs={"data-width": "l"})
    )

    def __init__(self, *args: Any, place: Place, deployments: Any, **kwargs: Any) -> None:
        self.place = place
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        fields["deployment"].queryset = deployments
        fields["deployment"].label_from_instance = _with_workspace

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("weekdays") and data.get("hours", 0) > 24:
            self.add_error("hours", "A weekly silence lasts a day at most.")
        return data

    def filled(self) -> Silence:
        """Return the silence that was entered, not saved."""
        data = self.cleaned_data
        begins = data["begins_at"] or timezone.now()
        return Silence(
            **fields_of(self.place),
            deployment=data["deployment"],
            dags=data["dags"],
            reason=data["reason"],
            begins_at=begins,
            ends_at=begins + timedelta(hours=data["hours"]),
            weekdays=data["weekdays"],
            zone=timezone.get_current_timezone_name(),
        )
