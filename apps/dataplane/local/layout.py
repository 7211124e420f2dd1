"""The folder of one Deployment, and the state that the plane stores there between passes."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.hibernation.plans import HibernationPlan, plan_from_json, plan_to_json
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.ports import free_port
from apps.dataplane.local.private_files import write_private

# Number 0 is the portal's own.
BROKER_NUMBERS = range(1, 256)


@dataclass(frozen=True)
class Folder:
    """Paths of one Deployment below the home."""

    home: Home
    ref: str

    @property
    def path(self) -> Path:
        return self.home.deployments / self.ref

    @property
    def airflow_home(self) -> Path:
        return self.path / "airflow"

    @property
    def task_logs(self) -> Path:
        return self.path / "task-logs"

    @property
    def parse_logs(self) -> Path:
        """Where Airflow's own default puts the output of DAG files."""
        return self.airflow_home / "logs" / "dag_processor"

    @property
    def process_logs(self) -> Path:
        return self.path / "logs"

    @property
    def code(self) -> Path:
        return self.path / "code"

    @property
    def bundles(self) -> Path:
        """Where Airflow stores its own state of DAG bundles."""
        return self.path / "bundles"

    @property
    def public_key(self) -> Path:
        return self.path / "sign-in.pem"

    @property
    def environment(self) -> Path:
        """Connections and variables for the portal's secrets backend."""
        return self.path / "environment.json"

    @property
    def ca_bundle(self) -> Path:
        """The CAs that its processes trust, where a company's are among them."""
        return self.path / "ca-bundle.pem"

    @property
    def state(self) -> Path:
        return self.path / "state.json"

    @property
    def scaling(self) -> Path:
        return self.path / "scaling.json"

    @property
    def hibernation(self) -> Path:
        """When it hibernates, for the keeper."""
        return self.path / "hibernation.json"

    @property
    def scaling_log(self) -> Path:
        return self.path / "scaling-decisions.jsonl"

    @property
    def database(self) -> str:
        """Name of the metadata database and of the role that owns it."""
        return f"airflow_{self.ref.replace('-', '_')}"


@dataclass(kw_only=True)
class State:
    """What a pass must know of earlier passes. `wait_began_at` and `delete_began_at` are Unix
    times. `migrating_to` is set from the beginning of a migration until it has succeeded: a
    database of which only a part was migrated fits no other Airflow. `restored` is the key of the
    last backup that took the place of the database.
    """

    api_port: int
    broker_number: int
    database_password: str = field(repr=False)
    database_airflow: str = ""
    migrating_to: str = ""
    revision: int = 0
    applied_revision: int = 0
    runtime: str = ""
    executor: str = ""
    code_digest: str = ""
    packages: str = ""
    restored: str = ""
    wait_began_at: float = 0.0
    delete_began_at: float = 0.0


@dataclass(kw_only=True)
class WantedQueue:
    """A queue as the autoscaler sees it; `programs` are its slots, as many as `max_workers`."""

    name: str
    concurrency: int
    min_workers: int
    max_workers: int
    programs: list[str]


@dataclass(kw_only=True)
class Wanted:
    """What should run of a Deployment, for the keeper: it reads no spec and calls no portal.

    `python` is that of the runtime; none while the database may be of another Airflow.
    """

    core: list[str] = field(default_factory=list)
    queues: list[WantedQueue] = field(default_factory=list)
    python: str = ""


def read_wanted(folder: Folder) -> Wanted:
    """Return what should run; nothing when it was never written."""
    try:
        data = json.loads(folder.scaling.read_text())
        queues = [WantedQueue(**queue) for queue in data["queues"]]
        return Wanted(core=data["core"], queues=queues, python=data.get("python", ""))
    except FileNotFoundError:
        return Wanted()
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Permanent(_damaged(folder.scaling)) from error


def save_wanted(folder: Folder, wanted: Wanted) -> None:
    """Write what the keeper shall run."""
    write_private(folder.scaling, json.dumps(asdict(wanted), sort_keys=True))


def read_plan(folder: Folder) -> HibernationPlan:
    """Return when it hibernates; never, when that was never written."""
    try:
        return plan_from_json(json.loads(folder.hibernation.read_text()))
    except FileNotFoundError:
        return HibernationPlan()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Permanent(_damaged(folder.hibernation)) from error


def save_plan(folder: Folder, plan: HibernationPlan) -> None:
    """Write when it hibernates, for the keeper."""
    write_private(folder.hibernation, json.dumps(plan_to_json(plan), sort_keys=True))


def read_state(folder: Folder) -> State | None:
    """Return the state, or None when the Deployment is unknown to the plane."""
    try:
        return _known(json.loads(folder.state.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Permanent(_damaged(folder.state)) from error


def _damaged(path: Path) -> str:
    return f"The file {path} is damaged. Restore it, or delete the Deployment."


def _known(data: dict[str, Any]) -> State:
    """Leave out what another version of the portal wrote."""
    names = {field.name for field in fields(State)}
    return State(**{name: value for name, value in data.items() if name in names})


def save_state(folder: Folder, state: State) -> None:
    """Write the state of a Deployment."""
    write_private(folder.state, json.dumps(asdict(state), sort_keys=True))


def all_folders(home: Home) -> list[Folder]:
    """List the Deployments of this home that have a state."""
    return [
        Folder(home, path.parent.name) for path in sorted(home.deployments.glob("*/state.json"))
    ]


def first_state(folder: Folder, *, password: str, portal_number: int) -> State:
    """Reserve a port and a broker number, and store them. The caller holds `plane_lock`.

    `portal_number` is the broker's database that the portal keeps for itself.
    """
    others = [state for other in all_folders(folder.home) if (state := _readable(other))]
    used_numbers = {portal_number, *(state.broker_number for state in others)}
    number = next((number for number in BROKER_NUMBERS if number not in used_numbers), None)
    if number is None:
        raise Permanent(
            "This machine already runs as many Deployments as its broker has databases."
        )
    port = unused_port(folder.home)
    state = State(api_port=port, broker_number=number, database_password=password)
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    save_state(folder, state)
    return state


def unused_port(home: Home) -> int:
    """Choose a free port that no Deployment of this home has, running or not."""
    states = [state for folder in all_folders(home) if (state := _readable(folder))]
    return free_port(avoid=[state.api_port for state in states])


@contextmanager
def deployment_lock(folder: Folder) -> Iterator[None]:
    """Let one pass at a time work on a Deployment. Raises Temporary while another one does."""
    with _lock(folder.home.run / f"deployment-{folder.ref}.lock", is_waiting=False):
        yield


@contextmanager
def plane_lock(home: Home) -> Iterator[None]:
    """Guard what Deployments share: ports, broker numbers, routes. Held for moments only."""
    with _lock(home.run / "deployments.lock", is_waiting=True):
        yield


@contextmanager
def _lock(path: Path, *, is_waiting: bool) -> Iterator[None]:
    with path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if is_waiting else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Temporary("Another change to this Deployment is in progress.") from error
        yield


def _readable(folder: Folder) -> State | None:
    try:
        return read_state(folder)
    except Permanent:
        return None
