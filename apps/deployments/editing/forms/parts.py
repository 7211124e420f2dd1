"""The form of a configuration: the settings, rows of worker queues, rows of variables.

`editor` puts the parts together. Rows that were removed, and every part of a form that is only
being rearranged, are shown without validation.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from django import forms
from django.forms.utils import ErrorDict

from apps.clusters.models import Cluster
from apps.core.errors import Invalid
from apps.core.web.forms import Choices
from apps.dataplane.production import Pairs, Toleration
from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.options import DeploymentOptions, RuntimeOption
from apps.deployments.configuration.schema import (
    DEFAULT_QUEUE,
    Configuration,
    OwnImage,
    Variable,
)
from apps.deployments.configuration.validation import (
    DESCRIPTION_LENGTH,
    NAME_LENGTH,
    Present,
    is_allowed,
)
from apps.deployments.editing.forms.data import (
    CORRECT,
    NODE_FIELDS,
    QUEUES,
    REPORT,
    found_image,
    line_feeds,
)
from apps.deployments.models import SecretValue
from apps.layers.form_fields import SettingField
from apps.layers.kinds.kind import Kind
from apps.layers.kinds.labels import LabelsKind, TolerationsKind
from apps.own_images.references import LONGEST as LONGEST_IMAGE

IMAGE_FIELDS = (
    "image",
    "image_user",
    "image_password",
    "image_secret",
    "image_found",
    "image_again",
    "forget_image_secret",
)
NO_HELP = {"autocomplete": "off", "spellcheck": "false"}


class SecretTextarea(forms.Textarea):
    """A field for a secret of one line or many. A submitted secret is never rendered again."""

    def format_value(self, value: Any) -> str:
        return ""


def _offer(field: forms.Field, choices: Iterable[tuple[str, str]]) -> None:
    cast(forms.ChoiceField, field).choices = list(choices)


def _choose(message: str) -> dict[str, str]:
    """Return the errors of a choice that is missing or is none of those offered."""
    return {"required": message, "invalid_choice": message}


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


class EditorPart(forms.Form):
    """A part of the form. `heading` names it in front of its errors."""

    is_validated = True

    @property
    def heading(self) -> str:
        return ""

    def full_clean(self) -> None:
        if self.is_validated:
            super().full_clean()
        else:
            self._errors = ErrorDict()
            self.cleaned_data = {}

    def refuse(self, name: str, reason: str, *, is_closed: bool) -> None:
        """Say at a field why this person may not change it. The service decides."""
        field = self.fields[name]
        if isinstance(field, SettingField):
            field.refuse(reason)
        else:
            field.help_text = reason
        if is_closed:
            field.widget.attrs["readonly"] = True

    def typed(self, name: str) -> str:
        """Return what a field holds as text, validated or not."""
        return str(self.data.get(self.add_prefix(name), ""))


class SettingsForm(EditorPart):
    name = forms.CharField(
        max_length=NAME_LENGTH,
        help_text="Shown in lists and in the audit log. The URL is derived from it.",
        error_messages={"required": "Enter a name for the Deployment."},
        widget=forms.TextInput(
            attrs={"data-width": "m", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    description = forms.CharField(
        required=False,
        max_length=DESCRIPTION_LENGTH,
        help_text="What it is for, and who depends on it.",
        widget=forms.Textarea(attrs={"data-width": "l", "rows": 2}),
    )
    runtime = forms.ChoiceField(
        error_messages=_choose("Choose a runtime from the list."),
        help_text="A tested pair of Airflow and Python.",
        widget=forms.Select(attrs={"data-width": "l"}),
    )
    image = forms.CharField(
        required=False,
        max_length=LONGEST_IMAGE,
        label="Image",
        help_text=(
            "Leave it empty for the image of the runtime. Your own is named with its registry and "
            "a tag or a digest, such as registry.example.org/team/etl:1.4; it runs by digest."
        ),
        widget=forms.TextInput(attrs={"data-width": "l", "data-kind": "code", **NO_HELP}),
    )
    image_user = forms.CharField(
        required=False,
        max_length=200,
        label="User of its registry",
        help_text="Only if the registry asks for one.",
        widget=forms.TextInput(attrs={"data-width": "m", **NO_HELP}),
    )
    image_password = forms.CharField(
        required=False,
        strip=False,
        label="Password or token",
        help_text="Stored encrypted, sent to this registry alone, and never shown again.",
        widget=SecretTextarea(attrs={"data-width": "m", "rows": 1, **NO_HELP}),
    )
    image_secret = forms.CharField(required=False, widget=forms.HiddenInput)
    image_found = forms.CharField(required=False, widget=forms.HiddenInput)
    image_again = forms.BooleanField(required=False, label="Look the tag up again")
    forget_image_secret = forms.BooleanField(
        required=False,
        label="Without a pull secret",
        help_text="Removes the one that is stored.",
    )
    executor = forms.ChoiceField(
        error_messages=_choose("Choose an executor that the cluster offers."), widget=Choices()
    )
    drift = forms.ChoiceField(
        label="Drift",
        error_messages=_choose("Choose what to do about drift."),
        choices=((CORRECT, "Revert"), (REPORT, "Report only")),
        help_text="What to do when something is changed directly on the cluster.",
        widget=Choices(
            hints={
                CORRECT: "The cluster matches the applied revision again within minutes.",
                REPORT: "The overview shows what differs until you apply a revision.",
            }
        ),
    )
    cluster = forms.ChoiceField(
        error_messages=_choose("Choose a cluster from the list."), widget=Choices()
    )

    def __init__(
        self,
        *args: Any,
        options: DeploymentOptions,
        base: Configuration | None,
        present: Present | None,
        clusters: Iterable[Cluster],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        offered = [(str(cluster.pk), cluster.name) for cluster in clusters]
        _offer(self.fields["cluster"], offered)
        if not offered:
            del self.fields["cluster"]
        if not options.has_drift:
            del self.fields["drift"]
        if not options.has_images:
            for name in IMAGE_FIELDS:
                del self.fields[name]
        executors = [(option.name, option.label) for option in options.executors]
        _offer(self.fields["runtime"], _runtime_choices(options.runtimes, base, present))
        _offer(self.fields["executor"], executors)
        if base is not None:
            self.fields["name"].widget.attrs["readonly"] = True

    def clean_image_password(self) -> str:
        if self.typed("image_half"):
            raise forms.ValidationError("Enter both the user and the password of the registry.")
        return ""

    @property
    def own_image(self) -> OwnImage | None:
        return found_image(self.data) if "image" in self.fields else None

    def clean_description(self) -> str:
        return line_feeds(self.cleaned_data["description"])


def _runtime_choices(
    runtimes: Iterable[RuntimeOption], base: Configuration | None, present: Present | None
) -> Iterable[tuple[str, str]]:
    """Yield what would be accepted. The current one is there in any case."""
    newest = next((runtime for runtime in runtimes if runtime.is_offered), None)
    for runtime in runtimes:
        is_current = base is not None and base.runtime == runtime.version
        if is_current or is_allowed(runtime, present):
            remark = "now" if is_current else "recommended" if runtime is newest else ""
            label = " · ".join(
                text for text in (runtime.label, remark, runtime.note.rstrip(".")) if text
            )
            yield runtime.version, label


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
        label="Worker size", error_messages=_choose("Choose a worker size from the list.")
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
        _offer(self.fields["size"], [(option.name, option.label) for option in options.sizes])
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
