from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core.errors import Conflict
from apps.registry.signing import bundle, prepare_next_key, switch_to_next_key


class Command(BaseCommand):
    help = (
        "Write the certificates that the registry is to trust. --next makes the key that comes "
        "next, --switch begins to sign with it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        step = parser.add_mutually_exclusive_group()
        step.add_argument("--next", action="store_true", help="make the next key, if there is none")
        step.add_argument(
            "--switch", action="store_true", help="sign with the next key, and delete the present"
        )

        parser.add_argument("--output", type=Path, help="the file to write to, instead of showing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["next"]:
            prepare_next_key()
        if options["switch"]:
            try:
                switch_to_next_key()
            except Conflict as error:
                raise CommandError(error.message) from error
        if options["output"]:
            options["output"].write_text(bundle())
        else:
            self.stdout.write(bundle(), ending="")
