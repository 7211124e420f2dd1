"""The page about events says what the code does."""

import os

from django.conf import settings

from apps.webhooks.events.reference import reference


def test_the_page_about_events_is_what_the_code_writes():
    path = settings.DOCS_FOLDER / "webhook-events.md"
    if os.environ.get("REWRITE_GOLDENS"):
        path.write_text(reference())

    assert path.read_text() == reference(), "run this test with REWRITE_GOLDENS=1"
