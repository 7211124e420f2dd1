"""Actions that set one thing of the configuration."""

from dataclasses import replace
from typing import Any

from django import forms

from apps.accounts.models import User
from apps.bulk_actions.actions.base import ConfigurationAction, Parameters
from apps.core.errors import Conflict, Invalid
from apps.deployments.configuration.schema import DEFAULT_QUEUE, Configuration, Variable
from apps.deployments.editing.drafts import store_secret
from apps.deployments.models import Deployment
from apps.environment.objects.models import Kind
from apps.environment.objects.values import checked_name

CODE = {"class": "mono", "spellcheck": "false", "autocomplete": "off", "data-width": "l"}
NUMBER = {"data-width": "s"}


class VariableForm(forms.Form):
    name = forms.CharField(max_length=200, widget=forms.TextInput(attrs=CODE))
    value = forms.CharField(
        strip=False, max_length=100_000, widget=forms.Textarea(attrs={**CODE, "rows": 3})
    )
    is_secret = forms.BooleanField(
        label="Secret", required=False, help_text="Encrypted, and never shown again."
    )

    def clean_name(self) -> str:
        try:
            return checked_name(Kind.ENVIRONMENT, self.cleaned_data["name"])
        except Invalid as error:
            raise forms.ValidationError(error.message) from None

    def clean_value(self) -> str:
        return str(self.cleaned_data["value"]).replace("\r\n", "\n")


class SetVariable(ConfigurationAction):
    key = "variable"
    label = "Set an environment variable"
    hint = "Adds it, or changes its value where it is there already."
    form = VariableForm

    def secret_of(self, parameters: dict[str, Any]) -> str:
        return str(parameters.pop("value")) if parameters["is_secret"] else ""

    def sealed_for(self, *, actor: User, deployment: Deployment, secret: str) -> str:
        if not secret:
            return ""
        workspace = deployment.workspace
        return str(store_secret(workspace=workspace, value=secret, actor=actor).pk)

    def configured(
        self, configuration: Configuration, parameters: Parameters, secret_id: str
    ) -> Configuration:
        name = parameters["name"]
        new = Variable(key=name, value=parameters.get("value", ""))
        if parameters["is_secret"]:
            new = Variable(key=name, secret_id=secret_id)
        known = [new if one.key == name else one for one in configuration.variables]
        if new not in known:
            known.append(new)
        return replace(configuration, variables=tuple(known))


class WorkersForm(forms.Form):
    queue = forms.CharField(
        label="Worker queue",
        max_length=63,
        initial=DEFAULT_QUEUE,
        widget=forms.TextInput(attrs={"data-width": "m", "spellcheck": "false"}),
    )
    min_workers = forms.IntegerField(
        label="Workers, at least", min_value=0, max_value=1_000, widget=forms.NumberInput(NUMBER)
    )
    max_workers = forms.IntegerField(
        label="Workers, at most", min_value=1, max_value=1_000, widget=forms.NumberInput(NUMBER)
    )


class SetWorkers(ConfigurationAction):
    key = "workers"
    label = "Set how many workers"
    hint = "Of one worker queue, where it is called the same. Nothing restarts."
    form = WorkersForm

    def configured(
        self, configuration: Configuration, parameters: Parameters, secret_id: str
    ) -> Configuration:
        name = parameters["queue"]
        if configuration.queue(name) is None:
            raise Conflict(f"It has no worker queue called {name}.")
        bounds = {key: parameters[key] for key in ("min_workers", "max_workers")}
        queues = [
            replace(one, **bounds) if one.name == name else one for one in configuration.queues
        ]
        return replace(configuration, queues=tuple(queues))


class DescriptionForm(forms.Form):
    description = forms.CharField(
        max_length=500, required=False, widget=forms.TextInput(attrs={"data-width": "l"})
    )


class SetDescription(ConfigurationAction):
    key = "description"
    label = "Set the description"
    hint = "Nothing restarts."
    form = DescriptionForm

    def configured(
        self, configuration: Configuration, parameters: Parameters, secret_id: str
    ) -> Configuration:
        return replace(configuration, description=parameters["description"])
