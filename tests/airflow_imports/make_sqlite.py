"""Make an airflow.db as `airflow standalone` leaves it, with a real Airflow.

Run as `python -m tests.airflow_imports.make_sqlite <bin folder of an environment> <airflow.db.gz>`.
The one of 2.11 comes from the environment that `airflow_2_11.make` needs, the other one from an
installed runtime 3.1.
"""

import gzip
import sys
import tempfile
from pathlib import Path

from tests.airflow_imports.airflow_2_11 import make


def main(programs: Path, target: Path) -> None:
    # Airflow 3 has accounts of people only with another auth manager.
    is_3 = "3_" in target.parent.name
    commands = [one for one in make.COMMANDS if not (is_3 and one[0] == "users")]
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "airflow.db"
        make.run_airflow(programs, Path(folder), f"sqlite:///{database}", commands)
        target.write_bytes(gzip.compress(database.read_bytes(), 9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
