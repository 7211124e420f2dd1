"""The addresses of an organization and of its workspaces are alike."""

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, path

from apps.alerts.pages import alert, channels, deliveries, overview, rules, silences

app_name = "alerts"

# What follows alerts/, the name, and the module and name of the view.
PAGES: tuple[tuple[str, str, Any, str], ...] = (
    ("", "overview", overview, "overview"),
    ("rules/new/", "new_rule", rules, "new_rule"),
    ("rules/new/<slug:rule_kind>/", "new_rule_of", rules, "new_rule_of"),
    ("rules/<int:rule_id>/", "rule", rules, "rule"),
    ("rules/<int:rule_id>/switch/", "switch_rule", rules, "switch_rule"),
    ("rules/<int:rule_id>/delete/", "delete_rule", rules, "delete_rule"),
    ("channels/", "channels", channels, "channels"),
    ("channels/new/<slug:kind>/", "new_channel", channels, "new_channel"),
    ("channels/<int:channel_id>/", "channel", channels, "channel"),
    ("channels/<int:channel_id>/test/", "test_channel", channels, "test_channel"),
    ("channels/<int:channel_id>/delete/", "delete_channel", channels, "delete_channel"),
    ("deliveries/", "deliveries", deliveries, "deliveries"),
    ("deliveries/<int:delivery_id>/resend/", "resend", deliveries, "resend"),
    ("silences/", "silences", silences, "silences"),
    ("silences/<int:silence_id>/end/", "end_silence", silences, "end_silence"),
)


def _patterns() -> Iterator[URLPattern]:
    for rest, name, module, view in PAGES:
        on_organization = getattr(module, f"organization_{view}")
        on_workspace = getattr(module, f"workspace_{view}")
        yield path(f"o/<slug:slug>/alerts/{rest}", on_organization, name=name)
        yield path(f"w/<slug:slug>/alerts/{rest}", on_workspace, name=f"workspace_{name}")


urlpatterns = [
    *_patterns(),
    path("d/<slug:ref>/alerts/<int:alert_id>/", alert.alert, name="alert"),
    path(
        "d/<slug:ref>/alerts/<int:alert_id>/acknowledge/",
        alert.acknowledge_alert,
        name="acknowledge",
    ),
]
