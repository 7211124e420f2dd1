"""Webhooks and what happens, for tests."""

from typing import Any

from django.db import connection

from apps.access.grants.audit_labels import record_on
from apps.alerts.places import Place
from apps.deployments.models import Deployment, Operation
from apps.webhooks.events.topics import Topic
from apps.webhooks.hooks.models import Webhook
from apps.webhooks.hooks.services import WebhookData, create_webhook


def make_webhook(place: Place, actor: Any, **data: Any) -> Webhook:
    given = {
        "name": "Warehouse of events",
        "url": "https://events.example.org/hooks/webhook-secret-path",
        "topics": tuple(Topic),
    }
    webhook, _ = create_webhook(actor=actor, place=place, data=WebhookData(**{**given, **data}))
    return webhook


def number_audit_events() -> None:
    """Do what a commit does: the chain numbers what was recorded."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def recorded(on: Any, action: str, actor: Any = None, **changes: Any) -> None:
    record_on(action=action, actor=actor, on=on, changes=changes)
    number_audit_events()


def begin_operation(deployment: Deployment, kind: str = "deploy", **fields: Any) -> Operation:
    number = Operation.objects.filter(deployment=deployment).count() + 1
    given = {"number": number, "kind": kind, "title": "Deploy of orders"}
    return Operation.objects.create(deployment=deployment, **{**given, **fields})
