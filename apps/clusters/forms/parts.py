"""Parts of forms about clusters. Secrets go in and never come out: no form shows one again."""

from typing import Any

from django import forms

PASTE_AGAIN = "Paste it again: a secret is never sent back."
TYPE_AGAIN = "Type it again: a secret is never sent back."


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


class NameForm(forms.Form):
    name = forms.CharField(
        max_length=60,
        help_text="What people choose it by, such as eu-central-1.",
        widget=forms.TextInput(attrs={"data-width": "m"}),
    )

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if not name.isprintable():
            raise forms.ValidationError("The name contains a character that cannot be shown.")
        return name
