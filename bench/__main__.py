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

from bench.page import write_page
from bench.quiet import Noise, machine_noise
from bench.report import Result, heading, result_of, save
from tests.embedded import running_services

# Those that need only the database come first; the last two start a whole portal.
BENCHES = {
    "list-page": "bench.list_page",
    "api": "bench.api",
    "permission-growth": "bench.permission_growth",
    "sign-in": "bench.sign_in",
    "noop-reconcile": "bench.noop_reconcile",
    "alert-sweep": "bench.alert_sweep",
    "queue-overhead": "bench.queue_overhead",
    "dead-clusters": "bench.dead_clusters",
    "watch-clusters": "bench.watch_clusters",
    "fleet": "bench.fleet",
    "history": "bench.history",
    "fan-out": "bench.fan_out",
    "web-load": "bench.web_load",
    "status-page": "bench.status_page",
    "subscriber-mails": "bench.subscriber_mails",
    "memory": "bench.memory",
    "packages": "bench.packages",
    "kubernetes-noop": "bench.kubernetes_noop",
    "kubernetes-apply": "bench.kubernetes_apply",
    "click-to-healthy": "bench.click_to_healthy",
    "upgrade": "bench.upgrade",
    "waking": "bench.waking",
}
WITH_PORTAL = ("memory", "click-to-healthy", "upgrade", "waking")
SETTLE_SECONDS = 30.0


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


def run(name: str, *, is_forced: bool) -> Result:
    """Measure one thing and print its lines, or say why the machine is too busy for it."""
    noise = machine_noise(settles_within=0 if is_forced else SETTLE_SECONDS)
    if noise and not is_forced:
        return _refused(name, noise)
    if name not in WITH_PORTAL:
        call_command("flush", interactive=False, verbosity=0)
    lines, notes = importlib.import_module(BENCHES[name]).run()
    noise += [note for note in notes if isinstance(note, Noise)]
    # An Airflow that was just stopped is busy for a moment after its last process is asked to end.
    settles = SETTLE_SECONDS if name in WITH_PORTAL and not is_forced else 0
    noise += [note for note in machine_noise(settles_within=settles) if note not in noise]
    if noise and not is_forced:
        return _refused(name, noise)
    for line in lines:
        print(line, flush=True)
    result = result_of(lines, notes, noise)
    for note in [*result.notes, *(f"noisy: {one}" for one in noise)]:
        print(f"  {name}: {note}", flush=True)
    return result


def _refused(name: str, noise: list[Noise]) -> Result:
    reasons = "; ".join(noise)
    print(f"{name}: REFUSED, the machine is not quiet: {reasons}. --force shows it all the same.")
    return result_of([], [], noise)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the portal.")
    parser.add_argument(
        "name",
        nargs="?",
        choices=[*BENCHES, "report"],
        help="one of them; all without; `report` writes docs/benchmarks.md from what was measured",
    )
    parser.add_argument("--force", action="store_true", help="measure on a busy machine, too")
    arguments = parser.parse_args()
    if arguments.name == "report":
        write_page()
        return 0
    names = [arguments.name] if arguments.name else list(BENCHES)
    # So that what was started ends with us.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    print(heading(), flush=True)
    results: dict[str, Result] = {}

    def measure(name: str) -> None:
        results[name] = run(name, is_forced=arguments.force)
        save({name: results[name]})

    noise = [] if arguments.force else machine_noise(settles_within=SETTLE_SECONDS)
    if noise:
        results |= {name: _refused(name, noise) for name in names}
        save(results)
        return 1
    staged = [each for each in names if each not in WITH_PORTAL]
    if staged:
        with stage():
            for each in staged:
                measure(each)
    for each in names:
        if each in WITH_PORTAL:
            measure(each)
    return 1 if any(result.noise for result in results.values()) and not arguments.force else 0


if __name__ == "__main__":
    sys.exit(main())
