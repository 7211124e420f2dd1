"""Parts of forms about clusters. Secrets go in and never come out: no form shows one again."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.http import QueryDict

PASTE_AGAIN = "Paste it again: a secret is never sent back."
KEPT = "Kept, encrypted, for an hour. Leave it empty to use it, or paste another to replace it."
TYPE_AGAIN = "Enter it again: a secret is never sent back."


class WriteOnlyText(forms.Textarea):
    """A text area whose content is never part of a page."""

    def format_value(self, value: Any) -> None:
        return None


class SecretForm(forms.Form):
    """A form with write-only fields, `secret_fields`: after an error elsewhere they must be entered
    again.
    """

    secret_fields: tuple[str, ...] = ()

    def ask_again(self) -> None:
        """Add an error to every secret that was entered: it must be entered again."""
        for name in self.secret_fields:
            if self.data.get(name) and name not in self.errors:
                is_text = isinstance(self.fields[name].widget, forms.Textarea)
                self.add_error(name, PASTE_AGAIN if is_text else TYPE_AGAIN)

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and self.errors:
            self.ask_again()


class KeptForm(SecretForm):
    """A form whose secrets are kept on the server while the rest is corrected.

    `kept` maps a field to the secret and to `bound_to` of when it was given. A secret is sent to
    where the fields `bound_fields` say, so with other values in them it has to be given again:
    otherwise it could be had by naming a server of one's own.
    """

    bound_fields: tuple[str, ...] = ()

    def __init__(
        self, *args: Any, kept: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.kept = dict(kept or {})
        if self.is_bound:
            self._fill_in()
        elif self.kept:
            self.show_kept(self.kept)

    def bound_to(self) -> str:
        """Return a digest of where the secrets are sent to."""
        values = "\0".join(str(self.data.get(name, "")).strip() for name in self.bound_fields)
        return hashlib.sha256(values.encode()).hexdigest()

    def secrets_to_keep(self) -> dict[str, str]:
        """Return the secrets that were given and that nothing is wrong with."""
        given = {name: str(self.data.get(name, "")) for name in self.secret_fields}
        return {name: value for name, value in given.items() if value and name not in self.errors}

    def show_kept(self, names: Iterable[str]) -> None:
        """Say at these fields that they may stay empty."""
        for name in names:
            self.fields[name].help_text = self[name].help_text = KEPT
            self.fields[name].required = False

    def ask_again(self) -> None:
        """Ask for nothing: it is kept."""

    def _fill_in(self) -> None:
        here, data = self.bound_to(), QueryDict(mutable=True)
        data.update(self.data)
        for name, (value, bound_to) in self.kept.items():
            if not data.get(name) and bound_to == here:
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
