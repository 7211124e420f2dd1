"""Parts of forms about clusters. Secrets go in and never come out: no form shows one again."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django import forms
from django.http import QueryDict

KEPT = "Kept, encrypted, for an hour. Leave it empty to use it, or paste another to replace it."


class WriteOnlyText(forms.Textarea):
    """A text area whose content is never part of a page."""

    def format_value(self, value: Any) -> None:
        return None


class KeptForm(forms.Form):
    """A form with write-only fields, which are kept on the server while the rest is corrected.

    `secret_fields` maps each to the fields that say where it is sent to. With other values in them
    the secret has to be given again: otherwise it could be had by naming a server of one's own.
    `kept` maps a field to the secret and to `bound_to` of when it was given.
    """

    secret_fields: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(
        self, *args: Any, kept: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.kept = dict(kept or {})
        if self.is_bound:
            self._fill_in()
        elif self.kept:
            self.show_kept(self.kept)

    def secrets_to_keep(self) -> dict[str, tuple[str, str]]:
        """Return the secrets that were given and that nothing is wrong with, each with where it is
        sent to, by field.
        """
        given = {name: str(self.data.get(name, "")) for name in self.secret_fields}
        return {
            name: (value, self._bound_to(name))
            for name, value in given.items()
            if value and name not in self.errors
        }

    def show_kept(self, names: Iterable[str]) -> None:
        """Say at these fields that they may stay empty."""
        for name in names:
            self.fields[name].help_text = self[name].help_text = KEPT
            self.fields[name].required = False

    def _bound_to(self, secret: str) -> str:
        """Return a digest of where a secret is sent to."""
        names = self.secret_fields[secret]
        values = "\0".join(str(self.data.get(name, "")).strip() for name in names)
        return hashlib.sha256(values.encode()).hexdigest()

    def _fill_in(self) -> None:
        data = QueryDict(mutable=True)
        data.update(self.data)
        for name, (value, bound_to) in self.kept.items():
            if not data.get(name) and bound_to == self._bound_to(name):
                data[name] = value
        self.data = data


class NameForm(forms.Form):
    name = forms.CharField(
        max_length=60,
        help_text="Shown when people choose a cluster, such as eu-central-1.",
        widget=forms.TextInput(attrs={"data-width": "m"}),
    )

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if not name.isprintable():
            raise forms.ValidationError("The name contains a character that cannot be shown.")
        return name
