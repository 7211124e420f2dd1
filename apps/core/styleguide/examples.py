"""Examples for the styleguide: every component in every state, some names long on purpose."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.core.paginator import Paginator
from django.utils import timezone

from apps.core.web.forms import Choices
from apps.core.web.navigation import Group, Line, Navigation


class ExampleForm(forms.Form):
    name = forms.CharField(
        max_length=40,
        help_text="Lower case letters, digits and hyphens.",
        widget=forms.TextInput(attrs={"data-width": "m"}),
    )
    email = forms.EmailField(label="Contact", required=False)
    memory = forms.DecimalField(
        help_text="Reads 4 or 4.5.",
        widget=forms.NumberInput(attrs={"data-width": "s", "data-unit": "GiB"}),
    )
    workers = forms.IntegerField(min_value=0, widget=forms.NumberInput(attrs={"data-width": "s"}))
    reason = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    executor = forms.ChoiceField(
        choices=[("celery", "Celery"), ("local", "Local")],
        widget=Choices(
            hints={"celery": "Workers of their own, in named queues.", "local": "In the scheduler."}
        ),
    )
    zone = forms.ChoiceField(
        label="Time zone", choices=[("UTC", "UTC"), ("Europe/Oslo", "Europe/Oslo")]
    )
    alerts = forms.MultipleChoiceField(
        label="Tell",
        required=False,
        choices=[("a", "Owners"), ("b", "The team")],
        widget=forms.CheckboxSelectMultiple,
    )
    password = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "off"}))
    agree = forms.BooleanField(
        label="Restart now", help_text="Running tasks get 10 minutes to end."
    )


class ExampleUpload(forms.Form):
    archive = forms.FileField(label="Code", required=False, help_text="A zip of at most 50 MiB.")


def examples() -> dict[str, Any]:
    """Return the context of the styleguide."""
    now = timezone.now()
    return {
        "navigation": Navigation("Styleguide", _rail()),
        "crumbs": [
            {"label": "Nordhavn Logistics", "url": "/"},
            {"label": "Styleguide", "url": "#main"},
        ],
        "fresh_form": ExampleForm(auto_id="fresh_%s", initial={"executor": "celery"}),
        "wrong_form": ExampleForm(
            {"name": "Backfill October!" * 4, "memory": "lots"}, auto_id="wrong_%s"
        ),
        "upload_form": ExampleUpload(),
        "page": Paginator(range(97), 10).page(4),
        "now": now,
        "earlier": now - timedelta(minutes=22),
        "tones": ["good", "move", "warn", "bad", "idle"],
        "icons": icon_names(),
        "tabs": [
            {"label": "Overview", "url": "#tabs", "is_current": True},
            {"label": "Incidents", "url": "#tabs", "count": 1, "tone": "bad"},
            {"label": "Details", "url": "#tabs"},
        ],
        "tally": [
            {"label": "Unhealthy", "count": 1, "url": "?status=bad", "tone": "bad"},
            {
                "label": "Healthy",
                "count": 18,
                "url": "?status=good",
                "tone": "good",
                "is_current": True,
            },
            {
                "label": "Hibernating",
                "count": 3,
                "url": "?status=idle",
                "tone": "idle",
                "icon": "sleep",
            },
        ],
        "chips": [{"label": "Team: Data platform", "url": "?"}],
        "facts": [("Runtime", "3.3-2"), ("Executor", "Celery"), ("Cluster", None)],
        "menu": [
            {"label": "Roll back", "url": "#menu", "icon": "back"},
            {"label": "Delete…", "url": "#menu", "icon": "trash", "tone": "bad", "rule": True},
        ],
        "queues": [
            {"name": "default", "running": 6, "maximum": 10},
            {"name": "gpu", "running": 0, "maximum": 4},
        ],
        "steps": _steps(),
        "changes": [
            {
                "label": "Scheduler memory",
                "old": "2 GiB",
                "new": "4 GiB",
                "effect": "Restarts the scheduler",
            },
            {
                "label": "Queue heavy",
                "old": "2 workers",
                "new": None,
                "effect": "Queued tasks wait for ever",
            },
            {
                "label": "PRICE_FEED_URL",
                "old": None,
                "new": "https://prices.example/v2/daily",
                "effect": "",
            },
        ],
        "lines": [
            {"at": now, "text": "Scheduler started", "id": "L1"},
            {"at": now, "text": "Heartbeat is 12 s late", "tone": "warn"},
            {"at": None, "text": "Traceback (most recent call last):", "tone": "bad"},
        ],
        "grantors": ["Ana Kovač", "Björn Lindqvist"],
    }


def icon_names() -> list[str]:
    """List the symbols of the sprite."""
    sprite = Path(settings.BASE_DIR) / "static" / "img" / "icons.svg"
    return re.findall(r'<symbol [^>]*\bid="([^"]+)"', sprite.read_text())


def _rail() -> tuple[Group, ...]:
    members = Line("Members and teams", "#forms", "people")
    return (
        Group(
            "Warehouse analytics",
            (Line("Deployments", "#main", "deployments", number=9, is_current=True), members),
        ),
        Group("Now", (Line("Incidents", "#states", "incidents", number=2, tone="bad"),)),
    )


def _steps() -> list[dict[str, Any]]:
    return [
        {"title": "Check the configuration", "state": "done", "took_seconds": 0.4},
        {
            "title": "Migrate the database",
            "state": "now",
            "detail": "Airflow 3.3",
            "took_seconds": 116,
        },
        {
            "title": "Restart components",
            "state": "failed",
            "detail": "The scheduler stopped at once",
            "took_seconds": 12,
            "log": ["ModuleNotFoundError: No module named 'shipments'"],
        },
        {"title": "Move the queues", "state": "skipped"},
        {"title": "Check that tasks start", "state": "wait", "usual_seconds": 15},
    ]
