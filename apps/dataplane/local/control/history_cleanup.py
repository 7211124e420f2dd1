"""The removal of old runs from the metadata databases of this machine, once a day each.

The keeper starts it and looks after it, without waiting: it is an Airflow that runs for a minute.
Only one runs at a time, as each needs the memory of an Airflow. When the last one began is the time
of its log file, so that a restart of the keeper begins none.
"""

import logging
import os
import pwd
import signal
from dataclasses import dataclass
from pathlib import Path
from subprocess import STDOUT, Popen

from apps.dataplane.local.airflow.environment import SYSTEM_PATH
from apps.dataplane.local.airflow.metadata.database import deployment_url
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.layout import Folder, State, Wanted, read_state

logger = logging.getLogger("keeper")

PROGRAM = "clean_database.py"
BETWEEN_SECONDS = 86_400
MOST_SECONDS = 3600


@dataclass
class HistoryCleanup:
    """Starts the program of one Deployment after the other, and ends what hangs."""

    config: LocalConfig
    process: Popen[bytes] | None = None
    log: Path | None = None
    began_at: float = 0.0

    def step(self, folder: Folder, wanted: Wanted, *, now: float) -> None:
        """Begin the removal if it is due, and look after the one that runs; `now` is a Unix time.

        One that fails is logged with the place of its output, and begins again a day later: nothing
        else of the Deployment waits for it.
        """
        self._look_after(now)
        state = read_state(folder)
        if state and self._is_due(folder, wanted, state, now):
            self._begin(folder, wanted, state, now)

    def _is_due(self, folder: Folder, wanted: Wanted, state: State, now: float) -> bool:
        if self.process or not (self.config.history_days and wanted.python and wanted.core):
            return False
        if state.migrating_to:
            return False
        try:
            return now - log_file(folder).stat().st_mtime >= BETWEEN_SECONDS
        except FileNotFoundError:
            # A new Deployment, which has nothing to remove yet.
            log_file(folder).touch(mode=0o600)
            return False

    def _begin(self, folder: Folder, wanted: Wanted, state: State, now: float) -> None:
        log = log_file(folder)
        with log.open("wb") as output:
            # Also where nothing will be written.
            os.utime(log, (now, now))
            self.process = Popen(
                [wanted.python, str(self.config.runtime_folder / "pods" / PROGRAM)],
                env=self._environment(folder, wanted, state),
                cwd=folder.path,
                stdout=output,
                stderr=STDOUT,
                start_new_session=True,
            )
        self.log, self.began_at = log, now

    def _environment(self, folder: Folder, wanted: Wanted, state: State) -> dict[str, str]:
        """Return what the program needs. No variables of users: it runs none of their code."""
        url = deployment_url(self.config, folder, state, driver="psycopg2")
        return {
            "AIRFLOW_HOME": str(folder.airflow_home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            "HOME": pwd.getpwuid(os.geteuid()).pw_dir,
            "LANG": "C.UTF-8",
            "PATH": f"{Path(wanted.python).parent}:{SYSTEM_PATH}",
            "PORTAL_HISTORY_DAYS": str(self.config.history_days),
        }

    def _look_after(self, now: float) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            if now - self.began_at > MOST_SECONDS:
                os.killpg(self.process.pid, signal.SIGKILL)
            return
        if self.process.returncode:
            logger.warning("old runs were not removed, see %s", self.log)
        self.process = None


def log_file(folder: Folder) -> Path:
    """Return where the output of the last removal is."""
    return folder.process_logs / "history-cleanup.log"
