"""The kinds of channels and what each needs."""

from dataclasses import dataclass

from django.db.models import TextChoices


class ChannelKind(TextChoices):
    EMAIL = "email", "E-mail"
    SLACK = "slack", "Slack"
    SLACK_APP = "slack-app", "Slack, in threads"
    TEAMS = "teams", "Microsoft Teams"
    PAGERDUTY = "pagerduty", "PagerDuty"
    OPSGENIE = "opsgenie", "Opsgenie"
    WEBHOOK = "webhook", "Webhook"
    DAG = "dag", "DAG run"


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a kind needs. `tracks` says that the receiver keeps alerts of its own, so that it is
    told that one is over, whatever the rule says.
    """

    hint: str
    icon: str
    has_url: bool = False
    key_label: str = ""
    key_hint: str = ""
    tracks: bool = False
    has_dag: bool = False
    has_room: bool = False


NEEDS: dict[str, Needs] = {
    ChannelKind.EMAIL: Needs(hint="To people or to a list of your own.", icon="mail"),
    ChannelKind.SLACK: Needs(
        hint="An incoming webhook of a Slack channel.", icon="chat", has_url=True
    ),
    ChannelKind.SLACK_APP: Needs(
        hint="An app of yours that posts; what comes after the first message goes into its thread.",
        icon="chat",
        key_label="Bot token",
        key_hint="xoxb-…, of an app with the scope chat:write that is in the Slack channel.",
        has_room=True,
    ),
    ChannelKind.TEAMS: Needs(
        hint="A workflow that posts to a Teams channel when a webhook request is received.",
        icon="people",
        has_url=True,
    ),
    ChannelKind.PAGERDUTY: Needs(
        hint="Triggers and resolves incidents through Events API v2.",
        icon="pager",
        key_label="Integration key",
        key_hint="32 characters, from an Events API v2 integration of the service.",
        tracks=True,
    ),
    ChannelKind.OPSGENIE: Needs(
        hint="Creates and closes alerts.",
        icon="bell",
        key_label="API key",
        key_hint="From an API integration of the team.",
        tracks=True,
    ),
    ChannelKind.WEBHOOK: Needs(
        hint="JSON by POST to a server of your own, signed.",
        icon="hook",
        has_url=True,
        key_label="Signing secret",
        key_hint="The receiver checks signatures with it, as Standard Webhooks describes. "
        "16 characters at least.",
    ),
    ChannelKind.DAG: Needs(
        hint="Triggers a DAG of yours; the message is the configuration of the run.",
        icon="dags",
        has_dag=True,
    ),
}
