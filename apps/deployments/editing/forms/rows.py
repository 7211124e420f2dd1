"""The rows of the form of a configuration: its worker queues and its variables."""

from collections.abc import Mapping
from typing import Any

from django import forms

from apps.core.errors import Invalid
from apps.dataplane.production import Pairs, Toleration
from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.options import DeploymentOptions
from apps.deployments.configuration.schema import (
    DEFAULT_QUEUE,
    Configuration,
    Variable,
)
from apps.deployments.editing.forms.data import (
    NODE_FIELDS,
    QUEUES,
    line_feeds,
)
from apps.deployments.editing.forms.parts import NO_HELP, EditorPart, SecretTextarea, choose, offer
from apps.deployments.models import SecretValue
from apps.layers.kinds.kind import Kind
from apps.layers.kinds.labels import LabelsKind, TolerationsKind


def _number(label: str, *, is_required: bool = True) -> forms.IntegerField:
    """Make a field for a whole number whose errors name it: several stand side by side."""
    messages = {
        "required": f"Enter a number for {label.lower()}.",
        "invalid": f"{label} must be a whole number.",
    }
    return forms.IntegerField(label=label, required=is_required, error_messages=messages)


def _or(number: int | None, usual: int) -> int:
    return usual if number is None else number


def _parsed(kind: Kind, text: str) -> Any:
    try:
        return kind.parse(text)
    except Invalid as error:
        raise forms.ValidationError(error.message) from None


class Row(EditorPart):
    """One row of a list. The one whose button was pressed gets the focus."""

    gone = forms.CharField(required=False, widget=forms.HiddenInput)
    is_pressed = False
    focused = ""

    @property
    def is_gone(self) -> bool:
        return bool(self.typed("gone"))

    @property
    def number(self) -> int:
        """Count the rows as people do, from 1."""
        return int(str(self.prefix).rpartition("-")[2]) + 1

    def apply_row_action(self) -> None:
        self.is_pressed = True
        self.fields[self.focused].widget.attrs["autofocus"] = True


class QueueRow(Row):
    focused = "name"

    @property
    def heading(self) -> str:
        return f"Queue {self.typed('name').strip() or self.number}"

    name = forms.CharField(
        error_messages={"required": "Enter a name for the queue."},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    size = forms.ChoiceField(
        label="Worker size", error_messages=choose("Choose a worker size from the list.")
    )
    concurrency = _number("Tasks per worker")
    min_workers = _number("Min workers")
    max_workers = _number("Max workers")
    node_selector = forms.CharField(
        required=False,
        label="Node selector",
        help_text="Instead of that of the Deployment. One label a line, like pool=gpu.",
        widget=forms.Textarea(attrs={"rows": 2, "data-kind": "code", **NO_HELP}),
    )
    tolerations = forms.CharField(
        required=False,
        label="Tolerations",
        help_text="On top of those of the Deployment, like spot=true:NoSchedule.",
        widget=forms.Textarea(attrs={"rows": 2, "data-kind": "code", **NO_HELP}),
    )
    disk_gib = _number("Disk", is_required=False)
    gpus = _number("GPUs", is_required=False)

    def __init__(
        self, *args: Any, options: DeploymentOptions, base: Configuration | None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.options, self.base = options, base
        if len(options.sizes) == 1:
            self.fields["size"].widget = forms.HiddenInput()
        offer(self.fields["size"], [(option.name, option.label) for option in options.sizes])
        if not options.has_nodes:
            for name in NODE_FIELDS:
                del self.fields[name]
        if self.is_default:
            self.fields["name"].widget.attrs["readonly"] = True

    def clean_node_selector(self) -> Pairs:
        found: Pairs = _parsed(LabelsKind(), self.cleaned_data["node_selector"])
        return found

    def clean_tolerations(self) -> tuple[Toleration, ...]:
        text = self.cleaned_data["tolerations"]
        found: tuple[Toleration, ...] = _parsed(TolerationsKind(), text)
        return found

    @property
    def has_special_nodes(self) -> bool:
        """Whether something is chosen here that is usually not."""
        usual = {"node_selector": "", "tolerations": "", "disk_gib": "10", "gpus": "0"}
        return any(
            name in self.fields
            and (name in self.errors or self.typed(name).strip() not in ("", text))
            for name, text in usual.items()
        )

    @property
    def is_default(self) -> bool:
        return self.typed("name") == DEFAULT_QUEUE and self.prefix == f"{QUEUES}-0"

    @property
    def is_new(self) -> bool:
        return self.base is not None and self.base.queue(self.typed("name")) is None

    @property
    def most_tasks(self) -> int | None:
        """How many tasks the queue may run at once, by the numbers typed so far."""
        texts = self.typed("concurrency").strip(), self.typed("max_workers").strip()
        if not all(text.isascii() and text.isdigit() and len(text) < 6 for text in texts):
            return None
        return int(texts[0]) * int(texts[1])

    @property
    def starts_from_none(self) -> bool:
        return self.typed("min_workers").strip() == "0"

    def queue(self) -> WorkerQueue:
        usual = self.options.new_queue("")
        cleaned = self.cleaned_data
        return WorkerQueue(
            name=cleaned.get("name", self.typed("name").strip()),
            size=cleaned.get("size", usual.size),
            concurrency=cleaned.get("concurrency", usual.concurrency),
            min_workers=cleaned.get("min_workers", usual.min_workers),
            max_workers=cleaned.get("max_workers", usual.max_workers),
            node_selector=cleaned.get("node_selector") or (),
            tolerations=cleaned.get("tolerations") or (),
            disk_gib=_or(cleaned.get("disk_gib"), usual.disk_gib),
            gpus=_or(cleaned.get("gpus"), usual.gpus),
        )


class VariableRow(Row):
    focused = "key"

    @property
    def heading(self) -> str:
        return f"Variable {self.typed('key').strip() or self.number}"

    key = forms.CharField(
        label="Name of the variable",
        error_messages={"required": "Enter a name for the variable."},
        widget=forms.TextInput(
            attrs={
                "data-kind": "code",
                "autocomplete": "off",
                "spellcheck": "false",
                "placeholder": "NAME",
            }
        ),
    )
    value = forms.CharField(
        required=False,
        strip=False,
        label="Value",
        widget=forms.Textarea(
            attrs={"data-kind": "code", "rows": 1, "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    is_secret = forms.BooleanField(required=False, label="Secret")
    secret_id = forms.CharField(required=False, widget=forms.HiddenInput)
    replacing = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(
        self,
        *args: Any,
        secrets: Mapping[str, SecretValue],
        base: Configuration | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.secret = secrets.get(self.typed("secret_id"))
        self.is_saved_secret = base is not None and self.typed("secret_id") in base.secret_ids
        if self.typed("replacing"):
            self.focused = "value"
        if self.typed("is_secret"):
            self.fields["value"].widget = SecretTextarea(attrs=self.fields["value"].widget.attrs)

    @property
    def hides_value(self) -> bool:
        return bool(self.typed("is_secret"))

    @property
    def is_blank(self) -> bool:
        return not (self.typed("key").strip() or self.typed("value") or self.secret)

    @property
    def keeps_secret(self) -> bool:
        """Return whether the row shows a sealed value instead of a field to type one."""
        return self.secret is not None and not self.typed("replacing")

    def clean_value(self) -> str:
        return line_feeds(self.cleaned_data["value"])

    def variable(self) -> Variable:
        key = self.cleaned_data.get("key", self.typed("key").strip())
        if self.secret is not None and (self.keeps_secret or self.typed("is_secret")):
            return Variable(key=key, secret_id=str(self.secret.pk))
        return Variable(key=key, value=self.cleaned_data.get("value", ""))
