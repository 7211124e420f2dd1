"""The tables of this app; each is defined in the room of its subject."""

from apps.status_pages.copies.models import BucketCopy, Copy
from apps.status_pages.health.models import ComponentDay
from apps.status_pages.reports.models import Report, ReportUpdate
from apps.status_pages.setup.models import Component, StatusPage
from apps.status_pages.subscriptions.models import Mailing, Receiver, Subscriber

__all__ = [
    "BucketCopy",
    "Component",
    "ComponentDay",
    "Copy",
    "Mailing",
    "Receiver",
    "Report",
    "ReportUpdate",
    "StatusPage",
    "Subscriber",
]
