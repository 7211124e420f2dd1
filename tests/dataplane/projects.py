"""A project with a package, an include and a plugin, as a real Airflow runs it."""

import hashlib
from pathlib import Path

from apps.dataplane.project import PackageLock
from apps.dataplane.spec import PackagesSpec

PROJECT = {
    "requirements.txt": "titlecase\n",
    "dags/titles.py": """
from airflow.sdk import dag, task
from include.titles import in_title


@dag(schedule="@daily", start_date=None, catchup=False, tags=["titles"])
def titles():
    @task
    def say():
        return in_title("the first")

    say()


titles()
""",
    "include/titles.py": """
import titlecase


def in_title(words):
    return titlecase.titlecase(words)
""",
    "plugins/title_plugin.py": """
import titlecase
from airflow.plugins_manager import AirflowPlugin
from include.titles import in_title


class TitlePlugin(AirflowPlugin):
    name = "title_plugin"
    macros = [in_title]
""",
}
BROKEN = {**PROJECT, "dags/broken.py": "from airflow.sdk import dag\n\nimport not_there\n"}
ASKING = {
    **PROJECT,
    "dags/asking.py": 'from airflow.sdk import DAG, Variable\n\nVariable.get("x")\n',
}


def write_lock(folder: Path, lock: PackageLock) -> PackagesSpec:
    """Store a lock as the portal does."""
    digest = hashlib.sha256(lock.text.encode()).hexdigest()
    path = folder / f"{digest}.txt"
    path.write_text(lock.text)
    return PackagesSpec(digest=digest, lock_path=str(path))
