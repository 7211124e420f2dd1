from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.audit.verification import Verdict, verify_all


class Command(BaseCommand):
    help = "Say whether the audit events of every organization are whole, and which are not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", type=int, help="number of one organization")

    def handle(self, *args: Any, organization: int | None = None, **options: Any) -> None:
        verdicts = verify_all(organization_id=organization)
        for verdict in verdicts:
            for line in _lines(verdict):
                self.stdout.write(line)
        if organization is not None and not verdicts:
            raise CommandError(f"Organization {organization} has no audit events.")
        n_findings = sum(len(verdict.findings) for verdict in verdicts)
        if n_findings:
            raise CommandError(f"The audit log is not whole: {n_findings} findings.")
        self.stdout.write("The audit log is whole.")


def _lines(verdict: Verdict) -> list[str]:
    name = f"Organization {verdict.organization_id}"
    if verdict.organization_id is None:
        name = "Events of no organization"
    first = verdict.forgotten_sequence + 1
    lines = [f"{name}: events {first} to {verdict.last_sequence} read."]
    if verdict.forgotten_sequence:
        lines.append(f"  Events up to {verdict.forgotten_sequence} were deleted by retention.")
    return [*lines, *(f"  {one.kind}: {one.sentence}" for one in verdict.findings)]
