"""What every action offers, and the part that those share which change the configuration."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms

from apps.accounts.models import User
from apps.core.errors import Conflict
from apps.deployments.configuration.changes import changes
from apps.deployments.configuration.schema import Configuration
from apps.deployments.editing.services import ensure_valid, update_config
from apps.deployments.models import Deployment, Operation, OperationState
from apps.upgrades.models import Upgrade

Parameters = Mapping[str, Any]
Begun = Operation | Upgrade
# `DONE`, a sentence that says why it failed, or None while it goes on.
Outcome = str | None
DONE = "done"


class Action:
    """A change that has a service for one Deployment. `form` takes its parameters, from a page or
    from a program; the field that `secret_field` names is sealed and in no parameters.
    """

    key: ClassVar[str]
    label: ClassVar[str]
    hint: ClassVar[str]
    permission: ClassVar[str] = "deployment.update"
    form: ClassVar[type[forms.Form]] = forms.Form

    def secret_of(self, parameters: dict[str, Any]) -> str:
        """Take a secret value out of the parameters; empty where there is none."""
        return ""

    def change(self, *, deployment: Deployment, parameters: Parameters) -> str:
        """Say what it does to one. Raises PortalError with the reason where it is refused."""
        raise NotImplementedError

    def begin(
        self, *, actor: User, deployment: Deployment, parameters: Parameters, secret: str
    ) -> Begun:
        """Do it, as the page of one Deployment does. Raises PortalError."""
        raise NotImplementedError

    def outcome(self, *, actor: User | None, begun: Any) -> Outcome:
        """Return what became of it so far: `DONE`, a sentence that says why it failed, or None."""
        if begun.state == OperationState.RUNNING:
            return None
        if begun.state == OperationState.SUCCEEDED:
            return DONE
        if begun.state == OperationState.SUPERSEDED:
            return "Another change came in between."
        return begun.failure or "The operation failed."


class ConfigurationAction(Action):
    """An action that makes a revision."""

    def configured(
        self, configuration: Configuration, parameters: Parameters, secret_id: str
    ) -> Configuration:
        """Return the configuration with the change. `secret_id` is that of the sealed value."""
        raise NotImplementedError

    def sealed_for(self, *, actor: User, deployment: Deployment, secret: str) -> str:
        """Seal a secret for one Deployment and return its id; empty without one."""
        return ""

    def change(self, *, deployment: Deployment, parameters: Parameters) -> str:
        before = _configuration(deployment)
        after = self.configured(before, parameters, secret_id="new")  # noqa: S106 - stands for one
        found = changes(before, after)
        if not found:
            raise Conflict("It is so already.")
        ensure_valid(configuration=after, deployment=deployment)
        words = [f"{one.label}: {_short(one.before)} becomes {_short(one.after)}" for one in found]
        effects = dict.fromkeys(one.effect for one in found if one.effect)
        return f"{'; '.join(words)}. {'. '.join(effects)}."

    def begin(
        self, *, actor: User, deployment: Deployment, parameters: Parameters, secret: str
    ) -> Operation:
        secret_id = self.sealed_for(actor=actor, deployment=deployment, secret=secret)
        configuration = self.configured(_configuration(deployment), parameters, secret_id)
        return update_config(
            actor=actor,
            deployment=deployment,
            configuration=configuration,
            base_revision_number=deployment.wanted.number if deployment.wanted else 0,
        )


def _configuration(deployment: Deployment) -> Configuration:
    if deployment.wanted is None:
        raise Conflict(f"{deployment.name} has no revision yet.")
    return deployment.wanted.configuration


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
