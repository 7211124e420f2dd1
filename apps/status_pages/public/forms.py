from typing import Any

from django import forms

from apps.status_pages.subscriptions.models import Subscriber


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
        components = subscriber.page.components.order_by("position", "pk")
        fields: dict[str, Any] = self.fields
        fields["components"].choices = [(one.key, one.name) for one in components]
