"""What a Deployment should be, as plain values: stored in revisions and drafts, typed, compared."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from apps.dataplane.production import Toleration
from apps.dataplane.spec import ExecutorName, WorkerQueue

DEFAULT_QUEUE = "default"
# All workers of the local plane share one machine: the one size there.
LOCAL_SIZE = "local"


@dataclass(frozen=True, kw_only=True)
class Variable:
    """An environment variable. A secret has no value here, only the id of its SecretValue. `set_at`
    is since when it has its value, or is a secret, as ISO 8601; empty where that was not noted.
    """

    key: str
    value: str = ""
    secret_id: str = ""
    set_at: str = field(default="", compare=False)

    @property
    def is_secret(self) -> bool:
        return bool(self.secret_id)


@dataclass(frozen=True, kw_only=True)
class OwnImage:
    """An image of people's own that runs in place of the runtime's. `name` is how they call it;
    what runs is its `digest`, which is empty until the registry was asked. `secret_id` is that of
    the sealed credential that pulls it, empty where none is needed.
    """

    name: str
    digest: str = ""
    airflow_version: str = ""
    python_version: str = ""
    secret_id: str = ""


@dataclass(frozen=True, kw_only=True)
class SettingValue:
    """A setting that this Deployment sets itself, by its name in the catalogue of layers; it
    inherits the others.
    """

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One complete configuration. `runtime` is a version of the catalogue, `image` None for the
    image of that runtime.

    `corrects_drift` False: what others change on the data plane is shown, and left alone.
    """

    description: str
    runtime: str
    executor: ExecutorName
    queues: tuple[WorkerQueue, ...] = ()
    variables: tuple[Variable, ...] = ()
    corrects_drift: bool = True
    image: OwnImage | None = None
    settings: tuple[SettingValue, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what a revision or a draft stores."""
        return asdict(self) | {
            "queues": [_queue_json(queue) for queue in self.queues],
            "variables": [asdict(variable) for variable in self.variables],
            "settings": [asdict(setting) for setting in self.settings],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Configuration":
        """Read what `to_json` wrote; keys that a newer portal wrote are ignored."""
        return cls(
            description=data["description"],
            runtime=data["runtime"],
            executor=data["executor"],
            queues=tuple(_queue(item) for item in data["queues"]),
            variables=tuple(_variable(item) for item in data["variables"]),
            corrects_drift=data.get("corrects_drift", True),
            image=_read(OwnImage, data["image"]) if data.get("image") else None,
            settings=tuple(_read(SettingValue, item) for item in data.get("settings", ())),
        )

    def dated(self, before: "Configuration | None", *, at: str) -> "Configuration":
        """Return it with `set_at` of each variable: that of `before` where nothing changed. That a
        secret got another value tells nothing: who guesses it must not learn from the time.
        """
        known = {variable.key: variable for variable in before.variables} if before else {}
        return replace(
            self,
            variables=tuple(
                replace(one, set_at=_since(one, known.get(one.key)) or at) for one in self.variables
            ),
        )

    @property
    def secret_ids(self) -> tuple[str, ...]:
        of_variables = [variable.secret_id for variable in self.variables if variable.is_secret]
        of_image = [self.image.secret_id] if self.image and self.image.secret_id else []
        return tuple(of_variables + of_image)

    @property
    def own_settings(self) -> dict[str, str]:
        """The texts that this Deployment sets itself, by name of the setting."""
        return {setting.name: setting.value for setting in self.settings}

    def queue(self, name: str) -> WorkerQueue | None:
        return next((queue for queue in self.queues if queue.name == name), None)


def _queue_json(queue: WorkerQueue) -> dict[str, Any]:
    """Write a queue as a database gives it back: with lists, where the dataclass has tuples."""
    pairs = [list(pair) for pair in queue.node_selector]
    tolerated = [asdict(one) for one in queue.tolerations]
    return asdict(queue) | {"node_selector": pairs, "tolerations": tolerated}


def _queue(item: Mapping[str, Any]) -> WorkerQueue:
    """Read a queue; those of old revisions say nothing about nodes."""
    known = {name: item[name] for name in WorkerQueue.__dataclass_fields__ if name in item}
    pairs = [(str(name), str(value)) for name, value in known.get("node_selector", ())]
    tolerated = [_read(Toleration, one) for one in known.get("tolerations", ())]
    return WorkerQueue(**{**known, "node_selector": tuple(pairs), "tolerations": tuple(tolerated)})


def _variable(item: Mapping[str, Any]) -> Variable:
    return Variable(
        key=item["key"],
        value=item["value"],
        secret_id=item["secret_id"],
        set_at=item.get("set_at", ""),
    )


def _since(variable: Variable, before: Variable | None) -> str:
    if before is None or before.is_secret != variable.is_secret:
        return ""
    return before.set_at if variable.is_secret or before.value == variable.value else ""


def _read(kind: Any, item: Mapping[str, Any]) -> Any:
    return kind(**{name: item[name] for name in kind.__dataclass_fields__})
