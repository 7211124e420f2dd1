"""The form of a channel."""

from typing import Any

from django import forms
from django.core.validators import validate_email
from django.db.models import QuerySet

from apps.alerts.channels.addresses import checked_address
from apps.alerts.channels.kinds import NEEDS, ChannelKind
from apps.alerts.channels.models import Channel
from apps.alerts.channels.services import ChannelData
from apps.alerts.pages.forms.fields import CODE, with_workspace
from apps.alerts.places import Place
from apps.core.errors import Invalid
from apps.dags.airflow.api import is_id
from apps.deployments.models import Deployment
from apps.organizations.models import Organization

MOST_ADDRESSES = 20
SHORTEST_SECRET = 16


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
        super().__init__(data, initial=_initial(kind, channel))
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
            chooser.queryset, chooser.label_from_instance = deployments, with_workspace
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


def _initial(kind: str, channel: Channel | None) -> dict[str, Any]:
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
