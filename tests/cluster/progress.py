"""Where the output of long steps goes."""

import subprocess
from pathlib import Path

LAST_CHARACTERS = 2000


def run_logged(command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
    """Run a command to its end; its output goes to a file, and the end of it into the error."""
    with log.open("ab") as output:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    if done.returncode:
        end = log.read_text(errors="replace")[-LAST_CHARACTERS:]
        raise RuntimeError(f"{' '.join(command[-4:])} ended with {done.returncode}:\n{end}")
