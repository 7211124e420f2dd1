"""The namespaces in which the portal may write, where it may not everywhere."""

import re

from django import forms

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MOST = 200
# Those of the cluster itself, and of the portal.
RESERVED = ("default", "kube-", "astro-portal-")


class NamespacesField(forms.CharField):
    """Names of namespaces, one a line; the value has one form."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            label="Named namespaces",
            max_length=20_000,
            help_text="One a line, where the portal may write in these only: each takes one "
            "Deployment. They are there already. Empty: it makes a namespace for each.",
            widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "data-kind": "code"}),
        )

    def clean(self, value: str) -> str:
        names = list(dict.fromkeys(str(super().clean(value)).split()))
        for name in names:
            if not NAME.fullmatch(name):
                raise forms.ValidationError(f"“{name[:70]}” is no name of a namespace.")
            if name.startswith(RESERVED):
                raise forms.ValidationError(f"{name} is not for Deployments. Name another one.")
        if len(names) > MOST:
            raise forms.ValidationError(f"At most {MOST} namespaces; there are {len(names)}.")
        return "\n".join(names)
