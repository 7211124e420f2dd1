from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.audit.verification import Verdict, verify_all


class Command(BaseCommand):
    help = "Verify the audit log of every organization and list what was tampered with."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", type=int, help="id of one organization")

    def handle(self, *args: Any, organization: int | None = None, **options: Any) -> None:
        verdicts = verify_all(organization_id=organization)
        for verdict in verdicts:
            for line in _lines(verdict):
                self.stdout.write(line)
        if organization is not None and not verdicts:
            raise CommandError(f"Organization {organization} has no audit events.")
        if any(verdict.findings for verdict in verdicts):
            raise CommandError("The audit log was tampered with. See the findings above.")
        self.stdout.write("The audit log is unchanged.")


def _lines(verdict: Verdict) -> list[str]:
    name = f"Organization {verdict.organization_id}"
    if verdict.organization_id is None:
        name = "Events without an organization"
    chain = verdict.chain
    lines = [f"{name}: events {chain.forgotten_sequence + 1} to {chain.last_sequence} read."]
    if chain.forgotten_sequence == chain.last_sequence:
        lines = [f"{name}: no events."]
    if chain.forgotten_at:
        cut = f"Retention deleted events up to {chain.forgotten_sequence}"
        lines.append(f"  {cut}, last on {chain.forgotten_at:%Y-%m-%d}.")
    return [*lines, *(f"  {one.kind}: {one.message}" for one in verdict.findings)]
