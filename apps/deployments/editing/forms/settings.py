"""The settings of a configuration, as a form: everything but queues and variables."""

from collections.abc import Iterable
from typing import Any

from django import forms

from apps.clusters.models import Cluster
from apps.core.web.forms import Choices
from apps.deployments.configuration.options import DeploymentOptions, RuntimeOption
from apps.deployments.configuration.schema import (
    Configuration,
    OwnImage,
)
from apps.deployments.configuration.validation import (
    DESCRIPTION_LENGTH,
    NAME_LENGTH,
    Present,
    is_allowed,
)
from apps.deployments.editing.forms.data import (
    CORRECT,
    REPORT,
    found_image,
    line_feeds,
)
from apps.deployments.editing.forms.parts import NO_HELP, EditorPart, SecretTextarea, choose, offer
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
        error_messages=choose("Choose a runtime from the list."),
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
        error_messages=choose("Choose an executor that the cluster offers."), widget=Choices()
    )
    drift = forms.ChoiceField(
        label="Drift",
        error_messages=choose("Choose what to do about drift."),
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
        error_messages=choose("Choose a cluster from the list."), widget=Choices()
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
        offer(self.fields["cluster"], offered)
        if not offered:
            del self.fields["cluster"]
        if not options.has_drift:
            del self.fields["drift"]
        if not options.has_images:
            for name in IMAGE_FIELDS:
                del self.fields[name]
        executors = [(option.name, option.label) for option in options.executors]
        offer(self.fields["runtime"], _runtime_choices(options.runtimes, base, present))
        offer(self.fields["executor"], executors)
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
