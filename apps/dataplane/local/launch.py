"""Read a program's environment from a private file and become the program. Standard library only."""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    environment_file, *command = sys.argv[1:]
    environment = json.loads(Path(environment_file).read_text())
    os.execve(command[0], command, environment)  # noqa: S606 - the command comes from our own file


if __name__ == "__main__":
    main()
