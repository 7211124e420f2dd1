from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from apps.core.words import bytes_in_words
from apps.deploys.uploading.uploads import DISK_FULL, TOO_LARGE

UPLOAD_PROBLEMS = {
    TOO_LARGE: "The file is larger than {limit}. Leave data files out of the dags folder.",
    DISK_FULL: "The portal's disk is full. Nothing has changed: free space, then upload it again.",
}


@dataclass(frozen=True, kw_only=True)
class Upload:
    file: "UploadedFile[Any]"
    description: str
    is_previewed: bool


class DeliveryForm(forms.Form):
    archive = forms.FileField(
        label="Code",
        allow_empty_file=True,
        widget=forms.FileInput(attrs={"accept": ".py,.zip,.tar.gz,.tgz"}),
        error_messages={"required": "Choose a .py file, or a zip or tar.gz of your project."},
    )
    description = forms.CharField(
        label="Description",
        required=False,
        max_length=500,
        help_text="What changes, for the deploy history. For example a commit ID.",
        widget=forms.TextInput(attrs={"data-width": "l"}),
    )
    is_previewed = forms.BooleanField(
        label="Show what changes first",
        required=False,
        initial=True,
        help_text="Packages, DAGs and import errors, before anything changes.",
    )

    def __init__(
        self,
        *args: Any,
        code_bytes: int | None,
        has_previews: bool,
        upload_problem: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if not has_previews:
            del self.fields["is_previewed"]
        limit = bytes_in_words(settings.CODE_ARCHIVE_MAX_BYTES)
        packed = f", {code_bytes // 1_000_000} MB compressed" if code_bytes else ""
        self.fields["archive"].help_text = (
            "One .py file, or a zip or tar.gz of a project or a dags folder, up to "
            f"{limit}{packed}."
        )
        if upload_problem:
            message = UPLOAD_PROBLEMS[upload_problem].format(limit=limit)
            self.fields["archive"].error_messages["required"] = message

    def upload(self) -> Upload:
        return Upload(
            file=self.cleaned_data["archive"],
            description=self.cleaned_data["description"],
            is_previewed=self.cleaned_data.get("is_previewed", False),
        )


class RollBackForm(forms.Form):
    description = forms.CharField(label="Description", required=False, max_length=500)
    code_alone = forms.BooleanField(label="Keep the packages and the image of now", required=False)


class DecisionForm(forms.Form):
    """What becomes of a preview: `action` is deploy, discard or again."""

    ACTIONS = ("deploy", "discard", "again")

    action = forms.ChoiceField(choices=[(name, name) for name in ACTIONS])
    description = forms.CharField(label="Description", required=False, max_length=500)
    accepts_errors = forms.BooleanField(required=False)
