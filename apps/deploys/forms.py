from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from apps.core.words import bytes_in_words
from apps.deploys.uploads import DISK_FULL, TOO_LARGE

UPLOAD_PROBLEMS = {
    TOO_LARGE: "The file is larger than {limit}. Leave data files out of the dags folder.",
    DISK_FULL: "The portal's disk is full. Nothing has changed: free space, then upload it again.",
}


@dataclass(frozen=True, kw_only=True)
class Upload:
    file: "UploadedFile[Any]"
    description: str


class DeliveryForm(forms.Form):
    archive = forms.FileField(
        label="Code",
        allow_empty_file=True,
        widget=forms.FileInput(attrs={"accept": ".py,.zip"}),
        error_messages={"required": "Choose a .py file or a zip of your dags folder."},
    )
    description = forms.CharField(
        label="Description",
        required=False,
        max_length=500,
        help_text="What changes, for the deploy history. For example a commit ID.",
        widget=forms.TextInput(attrs={"data-width": "l"}),
    )

    def __init__(
        self, *args: Any, code_bytes: int | None, upload_problem: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        limit = bytes_in_words(settings.CODE_ARCHIVE_MAX_BYTES)
        packed = f", {code_bytes // 1_000_000} MB compressed" if code_bytes else ""
        self.fields[
            "archive"
        ].help_text = f"One .py file, or a zip of a dags folder, up to {limit}{packed}."
        if upload_problem:
            message = UPLOAD_PROBLEMS[upload_problem].format(limit=limit)
            self.fields["archive"].error_messages["required"] = message

    def upload(self) -> Upload:
        return Upload(
            file=self.cleaned_data["archive"], description=self.cleaned_data["description"]
        )


class RollBackForm(forms.Form):
    description = forms.CharField(label="Description", required=False, max_length=500)
