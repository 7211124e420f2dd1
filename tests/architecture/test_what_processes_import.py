"""What is imported stays in memory, in each process: what a process has no use for stays out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings

PROJECT = Path(__file__).resolve().parents[2]
SERVES = """
import django; django.setup()
from astro_portal.celery import app; app.loader.import_default_modules()
import astro_portal.urls, astro_portal.wsgi
from apps.core.database.patience import WEB_SECONDS, PatientConnection
assert PatientConnection.patience_seconds == WEB_SECONDS
"""
NAMES = """
from django.urls import resolve, reverse
reverse("portal:search"); resolve("/w/warehouse/deployments/")
"""
BEATS = """
import celery.apps.beat
from astro_portal.beat import app
app.loader.import_default_modules(); app.conf.beat_schedule
"""
WORKS = """
from astro_portal.celery import app; app.loader.import_default_modules()
"""
TALKS_TO_CLUSTERS = """
from apps.dataplane.kubernetes import plane
"""
# Their names are the starts of those of modules.
NEITHER = ("kubernetes", "aiohttp", "supervisor", "scim2_server", "dns", "xmlrpc")
PAGES = (
    "astro_portal.urls",
    "apps.api",
    "ninja",
    "pydantic",
    "jinja2",
    "fido2",
    "lxml",
    "onelogin",
)
OPERATIONS = ("ninja", "apps.api.service", "apps.api.operations", "apps.api.wire.shapes")
JOBS = ("django.db.models", "apps.accounts", "apps.deployments", "allauth", "psycopg", "onelogin")


@pytest.fixture
def imported(tmp_path: Path):
    def run(code: str) -> set[str]:
        told = f"{code}\nimport sys; print(*sys.modules)"
        environment = os.environ | {
            "PORTAL_HOME": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "astro_portal.settings",
        }
        command = [sys.executable, "-W", "ignore", "-c", told]
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return set(done.stdout.split())

    return run


def _of(modules: set[str], unwanted: tuple[str, ...]) -> set[str]:
    starts = tuple(f"{one}." for one in unwanted)
    return {one for one in modules if f"{one}.".startswith(starts)}


def test_web_and_workers_load_no_data_plane_before_they_need_it(imported) -> None:
    modules = imported(SERVES)

    assert "apps.deployments.tasks" in modules
    assert _of(modules, NEITHER) == set()


def test_the_web_server_loads_operations_with_the_first_that_is_asked_for(imported) -> None:
    asked = 'resolve("/v1/users/self")'

    assert _of(imported(SERVES + NAMES), OPERATIONS) == set()
    assert "apps.api.operations" in imported(SERVES + NAMES + asked)


def test_workers_load_no_views(imported) -> None:
    modules = imported(WORKS)

    assert "apps.deployments.tasks" in modules
    assert _of(modules, PAGES) == set()


def test_the_clock_knows_jobs_by_their_names_alone(imported) -> None:
    modules = imported(BEATS)

    assert "celery.beat" in modules
    assert _of(modules, (*NEITHER, *JOBS, "prompt_toolkit")) == set()


def test_who_talks_to_clusters_loads_no_model_of_the_official_client(imported) -> None:
    modules = imported(TALKS_TO_CLUSTERS)

    assert "apps.dataplane.kubernetes.api.transport" in modules
    assert _of(modules, ("kubernetes",)) == set()


@pytest.mark.slow  # reads a thousand modules
def test_the_official_client_stays_whole_for_others(imported) -> None:
    modules = imported(f"{TALKS_TO_CLUSTERS}\nimport kubernetes; kubernetes.client.V1Pod")

    assert "kubernetes.client.models.v1_pod" in modules


@pytest.mark.parametrize("entry", settings.CELERY_BEAT_SCHEDULE.values(), ids=lambda e: e["task"])
def test_what_the_clock_sends_by_name_is_a_job_without_options_of_its_own(entry) -> None:
    current_app.loader.import_default_modules()

    job = current_app.tasks[entry["task"]]

    # The clock would not know of them.
    assert {name: getattr(job, name, None) for name in ("queue", "expires", "priority")} == {
        "queue": None,
        "expires": None,
        "priority": None,
    }
