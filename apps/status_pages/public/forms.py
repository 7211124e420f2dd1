from typing import Any

from django import forms

from apps.core.errors import Invalid
from apps.core.web.forms import Choices
from apps.status_pages.setup.models import StatusPage
from apps.status_pages.subscriptions.addresses import Address, address_of
from apps.status_pages.subscriptions.models import Subscriber, SubscriberKind

MOST_URL = 2_000
KINDS = [SubscriberKind.WEBHOOK, SubscriberKind.SLACK]


class AddressForm(forms.Form):
    """Choices of components are not checked here: keys that the page lacks choose nothing."""

    email = forms.EmailField(
        label="E-mail",
        max_length=254,
        error_messages={
            "required": "Enter an e-mail address.",
            "invalid": "Enter an e-mail address such as ana@example.org.",
        },
    )


def _components(page: StatusPage) -> list[tuple[str, str]]:
    return [(one.key, one.name) for one in page.components.order_by("position", "pk")]


class ReceiverForm(forms.Form):
    """A webhook or Slack, and the components that it is told about."""

    kind = forms.ChoiceField(
        label="Send to",
        choices=[(one, one.label) for one in KINDS],
        initial=SubscriberKind.WEBHOOK,
        widget=Choices(
            hints={
                SubscriberKind.WEBHOOK: "JSON by POST to a public server, signed.",
                SubscriberKind.SLACK: "An incoming webhook of a Slack channel.",
            }
        ),
    )
    url = forms.CharField(
        label="Address",
        max_length=MOST_URL,
        widget=forms.TextInput(
            attrs={"data-width": "l", "inputmode": "url", "autocomplete": "off"}
        ),
        help_text="Begins with https://. It is kept encrypted and shown nowhere.",
    )
    components = forms.MultipleChoiceField(
        label="Components",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None means all.",
    )

    def __init__(self, *args: Any, page: StatusPage, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        fields["components"].choices = _components(page)
        if not fields["components"].choices:
            del fields["components"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "kind" in data and "url" in data:
            try:
                data["address"] = address_of(kind=data["kind"], url=data["url"])
            except Invalid as error:
                self.add_error("url", error.message)
        return data

    def address(self) -> Address:
        found: Address = self.cleaned_data["address"]
        return found


class ChoiceForm(forms.Form):
    components = forms.MultipleChoiceField(
        label="Components",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None means all.",
    )

    def __init__(self, *args: Any, subscriber: Subscriber, **kwargs: Any) -> None:
        chosen = list(subscriber.components.values_list("key", flat=True))
        super().__init__(*args, **kwargs | {"initial": {"components": chosen}})
        fields: dict[str, Any] = self.fields
        fields["components"].choices = _components(subscriber.page)
