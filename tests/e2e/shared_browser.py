"""A plugin of pytest for the modules whose tests run in a browser: they name it in
`pytest_plugins`, so that Playwright is imported with them alone.
"""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.e2e.browser import LEFT_OUT, PATIENCE_MILLISECONDS, chromium_path, launch


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The one browser of this module: Playwright bears no second one beside it, and tests that run
    an event loop themselves bear none after it in their process.
    """
    if not chromium_path():
        pytest.skip(LEFT_OUT)
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    # Playwright's synchronous interface runs an event loop in this thread, and Django would refuse
    # to touch the database beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        started = launch(playwright)
        yield started
        started.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
