import argparse
import base64
import importlib
import json
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import django
from django.core.management import call_command
from django.db import connection

from bench.report import Line, heading, save
from tests.embedded import running_services

# Those that need only the database come first; the last two start a whole portal.
BENCHES = {
    "list-page": "bench.list_page",
    "permission-growth": "bench.permission_growth",
    "sign-in": "bench.sign_in",
    "noop-reconcile": "bench.noop_reconcile",
    "queue-overhead": "bench.queue_overhead",
    "dead-clusters": "bench.dead_clusters",
    "watch-clusters": "bench.watch_clusters",
    "memory": "bench.memory",
    "kubernetes-noop": "bench.kubernetes_noop",
    "kubernetes-apply": "bench.kubernetes_apply",
    "click-to-healthy": "bench.click_to_healthy",
}
WITH_PORTAL = ("memory", "click-to-healthy")


@contextmanager
def stage() -> Iterator[None]:
    """Give Django a throw-away PostgreSQL and Valkey, migrated."""
    for name in ("DATABASE_URL", "REDIS_URL", "PORTAL_URL", "EMAIL_HOST"):
        os.environ.pop(name, None)
    with running_services() as home:
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        os.environ |= {
            "PORTAL_HOME": str(home.path),
            "DJANGO_SETTINGS_MODULE": "bench.settings",
            "PORTAL_ENCRYPTION_KEYS": json.dumps({"current": "b1", "keys": {"b1": key}}),
        }
        (home.path / "static").mkdir()
        keys = importlib.import_module("astro_portal.keys")
        keys.make_missing_keys(home)
        django.setup()
        call_command("migrate", verbosity=0)
        allow_flush()
        yield


def allow_flush() -> None:
    """Let measurements begin with empty tables, those of the audit log too."""
    with connection.cursor() as cursor:
        for table in ("audit_auditevent", "audit_auditchain"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER audit_refuse_truncate")


def run(name: str) -> tuple[list[Line], list[str]]:
    if name not in WITH_PORTAL:
        call_command("flush", interactive=False, verbosity=0)
    lines, notes = importlib.import_module(BENCHES[name]).run()
    for line in lines:
        print(line, flush=True)
    for note in notes:
        print(f"  {name}: {note}", flush=True)
    return lines, [f"{name}: {note}" for note in notes]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the portal.")
    parser.add_argument("name", nargs="?", choices=list(BENCHES), help="one of them; all without")
    name = parser.parse_args().name
    names = [name] if name else list(BENCHES)
    # So that what was started ends with us.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    print(heading(), flush=True)
    results = []
    staged = [each for each in names if each not in WITH_PORTAL]
    if staged:
        with stage():
            results += [run(each) for each in staged]
    results += [run(each) for each in names if each in WITH_PORTAL]
    save(
        [line for lines, _ in results for line in lines],
        [note for _, notes in results for note in notes],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
