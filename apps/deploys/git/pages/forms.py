from typing import Any, cast

from django import forms

from apps.deploys.models import GitRepository, GitSource

GUESSED = [("", "By its host"), *GitRepository.Provider.choices]
INHERIT, ON, OFF = "inherit", "on", "off"


def token_field(help_text: str) -> forms.CharField:
    widget = forms.PasswordInput(attrs={"data-width": "l", "autocomplete": "off"})
    return forms.CharField(
        label="Token", required=False, max_length=2000, help_text=help_text, widget=widget
    )


def username_field() -> forms.CharField:
    return forms.CharField(
        label="User name",
        required=False,
        max_length=100,
        help_text="Only where the provider asks for a certain one: x-token-auth at Bitbucket.",
        widget=forms.TextInput(attrs={"data-width": "m", "autocomplete": "off"}),
    )


class RepositoryForm(forms.Form):
    url = forms.CharField(
        label="Address",
        max_length=500,
        help_text="https://github.com/acme/dags.git, or git@github.com:acme/dags.git to connect by "
        "ssh with a deploy key, which the portal makes.",
        widget=forms.TextInput(attrs={"data-width": "l", "spellcheck": "false"}),
    )
    username = username_field()
    token = token_field(
        "For https, unless everyone may read the repository: a token that may read its code and "
        "nothing else. Stored encrypted and never shown."
    )
    provider = forms.ChoiceField(
        label="Provider",
        required=False,
        choices=GUESSED,
        help_text="For links to commits. Choose it for a server of your own.",
    )


class HttpsForm(forms.Form):
    """What can change of a repository that is read by https."""

    username = username_field()
    token = token_field("Leave empty to keep the current one.")
    provider = forms.ChoiceField(label="Provider", choices=GitRepository.Provider.choices)


class SshForm(forms.Form):
    """What can change of a repository that is read by ssh."""

    renews_key = forms.BooleanField(
        label="Make a new deploy key",
        required=False,
        help_text="The portal forgets the current one. Add the new one to the repository.",
    )
    provider = forms.ChoiceField(label="Provider", choices=GitRepository.Provider.choices)


class StateTokenForm(forms.Form):
    """An empty token ends the reports."""

    token = token_field("Stored encrypted and never shown. Leave empty to report no longer.")


class SourceForm(forms.Form):
    repository = forms.ModelChoiceField(
        queryset=GitRepository.objects.none(), empty_label=None, label="Repository"
    )
    branch = forms.CharField(
        label="Branch", max_length=255, widget=forms.TextInput(attrs={"data-width": "m"})
    )
    path = forms.CharField(
        label="Folder",
        required=False,
        max_length=500,
        help_text="Inside of the repository. Empty: all of it. Commits that do not change it are "
        "not deployed.",
        widget=forms.TextInput(attrs={"data-width": "m", "placeholder": "dags"}),
    )

    def __init__(self, *args: Any, repositories: Any, source: GitSource | None, **kwargs: Any):
        initial: dict[str, Any] = {"branch": "main"}
        if source is not None:
            initial = {
                "repository": source.repository_id,
                "branch": source.branch,
                "path": source.path,
            }
        super().__init__(*args, **{"initial": initial, **kwargs})
        cast("forms.ModelChoiceField[Any]", self.fields["repository"]).queryset = repositories


class EnforcementForm(forms.Form):
    """`default` is that of the workspace, as a bool."""

    enforcement = forms.ChoiceField(label="Who may deploy code", widget=forms.RadioSelect)

    def __init__(self, *args: Any, own: bool | None, default: bool, **kwargs: Any):
        chosen = INHERIT if own is None else ON if own else OFF
        super().__init__(*args, **{"initial": {"enforcement": chosen}, **kwargs})
        inherited = "API tokens and git only" if default else "people, API tokens and git"
        cast(forms.ChoiceField, self.fields["enforcement"]).choices = [
            (INHERIT, f"As in the workspace: {inherited}"),
            (ON, "API tokens and git only"),
            (OFF, "People, API tokens and git"),
        ]

    @property
    def is_on(self) -> bool | None:
        return {INHERIT: None, ON: True, OFF: False}[self.cleaned_data["enforcement"]]
