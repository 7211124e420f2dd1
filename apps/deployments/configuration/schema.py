"""What a Deployment should be, as plain values: stored in revisions and drafts, typed, compared."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from apps.dataplane.spec import ExecutorName, WorkerQueue

DEFAULT_QUEUE = "default"
# All workers of the local plane share one machine: the one size there.
LOCAL_SIZE = "local"


@dataclass(frozen=True, kw_only=True)
class Variable:
    """An environment variable. A secret has no value here, only the id of its SecretValue."""

    key: str
    value: str = ""
    secret_id: str = ""

    @property
    def is_secret(self) -> bool:
        return bool(self.secret_id)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One complete configuration. `runtime` is a version of the catalogue.

    `corrects_drift` False: what others change on the data plane is shown, and left alone.
    """

    description: str
    runtime: str
    executor: ExecutorName
    queues: tuple[WorkerQueue, ...] = ()
    variables: tuple[Variable, ...] = ()
    corrects_drift: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return what a revision or a draft stores."""
        return asdict(self) | {
            "queues": [asdict(queue) for queue in self.queues],
            "variables": [asdict(variable) for variable in self.variables],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Configuration":
        """Read what `to_json` wrote; keys that a newer portal wrote are ignored."""
        return cls(
            description=data["description"],
            runtime=data["runtime"],
            executor=data["executor"],
            queues=tuple(_read(WorkerQueue, item) for item in data["queues"]),
            variables=tuple(_read(Variable, item) for item in data["variables"]),
            corrects_drift=data.get("corrects_drift", True),
        )

    @property
    def secret_ids(self) -> tuple[str, ...]:
        return tuple(variable.secret_id for variable in self.variables if variable.is_secret)

    def queue(self, name: str) -> WorkerQueue | None:
        return next((queue for queue in self.queues if queue.name == name), None)


def _read(kind: Any, item: Mapping[str, Any]) -> Any:
    return kind(**{name: item[name] for name in kind.__dataclass_fields__})
