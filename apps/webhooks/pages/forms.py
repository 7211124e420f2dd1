from typing import Any

from django import forms

from apps.alerts.channels.addresses import checked_address
from apps.core.errors import Invalid
from apps.webhooks.events.topics import ABOUT, Topic
from apps.webhooks.hooks.models import Webhook
from apps.webhooks.hooks.services import WebhookData


class TopicChoices(forms.CheckboxSelectMultiple):
    """Check boxes with a hint each."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        option["hint"] = ABOUT[str(value)].hint
        return option


class WebhookForm(forms.Form):
    name = forms.CharField(
        max_length=80, widget=forms.TextInput(attrs={"autocomplete": "off", "data-width": "l"})
    )
    url = forms.CharField(
        label="Address",
        max_length=2000,
        required=False,
        widget=forms.TextInput(
            attrs={
                "class": "mono",
                "spellcheck": "false",
                "autocomplete": "off",
                "data-width": "l",
                "inputmode": "url",
            }
        ),
    )
    topics = forms.MultipleChoiceField(
        label="Events",
        choices=Topic.choices,
        widget=TopicChoices,
        error_messages={"required": "Choose at least one kind of events."},
    )
    is_enabled = forms.BooleanField(
        label="Send events",
        required=False,
        initial=True,
        help_text="While it is off, what happens is not kept for it.",
    )

    def __init__(self, data: Any, *, webhook: Webhook | None) -> None:
        self.webhook = webhook
        super().__init__(data, initial=_initial(webhook))
        stored = " Leave it empty to keep the stored one." if webhook else ""
        self.fields["url"].help_text = f"It begins with https:// and is never shown again.{stored}"
        self.fields["url"].required = webhook is None
        if webhook is None:
            del self.fields["is_enabled"]

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"]).strip()
        if not url and self.webhook is not None:
            return ""
        try:
            return checked_address(url)
        except Invalid as error:
            raise forms.ValidationError(error.message) from None

    def data_entered(self) -> WebhookData:
        data = self.cleaned_data
        return WebhookData(
            name=data["name"],
            url=data["url"],
            topics=tuple(data["topics"]),
            is_enabled=data.get("is_enabled", True),
        )


def _initial(webhook: Webhook | None) -> dict[str, Any]:
    if webhook is None:
        return {"topics": [Topic.DEPLOYS, Topic.INCIDENTS]}
    return {
        "name": webhook.name,
        "topics": webhook.topics,
        "is_enabled": webhook.is_enabled,
    }
