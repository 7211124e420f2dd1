"""Merges an edit with one that was saved first: both changes, and a choice where they conflict."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.changes import (
    DRIFT_LABEL,
    IMAGE_LABEL,
    NEW_SECRET,
    NOT_SET,
    SECRET,
    drift_in_words,
    image_in_words,
    queue_in_words,
    setting_in_words,
    setting_label,
)
from apps.deployments.configuration.schema import (
    DEFAULT_QUEUE,
    Configuration,
    OwnImage,
    SettingValue,
    Variable,
)

MINE, THEIRS = "mine", "theirs"

_LABELS = {
    "description": "Description",
    "runtime": "Runtime",
    "executor": "Executor",
    "corrects_drift": DRIFT_LABEL,
    "image": IMAGE_LABEL,
}


@dataclass(frozen=True, kw_only=True)
class Clash:
    """One field that both sides changed, differently. The values are words; secrets stay hidden."""

    field: str
    label: str
    base: str
    theirs: str
    mine: str


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Two edits of `base` and their merge."""

    base: Configuration
    theirs: Configuration
    mine: Configuration
    configuration: Configuration
    clashes: tuple[Clash, ...]


def merge(
    *, base: Configuration, theirs: Configuration, mine: Configuration, keep: Mapping[str, str]
) -> Merge:
    """Join two edits of `base`. `keep` maps a clashing field to "theirs" or, silent too, "mine"."""
    before, others, own = _fields(base), _fields(theirs), _fields(mine)
    merged: dict[str, Any] = {}
    clashes = []
    for field in dict.fromkeys([*own, *others]):
        was, their, my = before.get(field), others.get(field), own.get(field)
        if my in (was, their):
            merged[field] = their
        elif their == was:
            merged[field] = my
        else:
            merged[field] = their if keep.get(field) == THEIRS else my
            clashes.append(
                Clash(
                    field=field,
                    label=_label(field),
                    base=_in_words(was),
                    theirs=_in_words(their),
                    mine=NEW_SECRET if _is_secret(my) and _is_secret(their) else _in_words(my),
                )
            )
    return Merge(
        base=base,
        theirs=theirs,
        mine=mine,
        configuration=_configuration(merged, mine),
        clashes=tuple(clashes),
    )


def _fields(configuration: Configuration) -> dict[str, Any]:
    return {
        "description": configuration.description,
        "runtime": configuration.runtime,
        "executor": configuration.executor,
        "corrects_drift": configuration.corrects_drift,
        "image": configuration.image,
        **{f"queue {queue.name}": queue for queue in configuration.queues},
        **{f"variable {variable.key}": variable for variable in configuration.variables},
        **{f"setting {setting.name}": setting for setting in configuration.settings},
    }


def _configuration(fields: Mapping[str, Any], mine: Configuration) -> Configuration:
    queues = [value for value in fields.values() if isinstance(value, WorkerQueue)]
    variables = tuple(value for value in fields.values() if isinstance(value, Variable))
    settings = tuple(value for value in fields.values() if isinstance(value, SettingValue))
    if fields["executor"] != "celery":
        queues = []
    queues.sort(key=lambda queue: queue.name != DEFAULT_QUEUE)
    return replace(
        mine,
        description=fields["description"],
        runtime=fields["runtime"],
        executor=fields["executor"],
        corrects_drift=fields["corrects_drift"],
        image=fields["image"],
        queues=tuple(queues),
        variables=variables,
        settings=settings,
    )


def _label(field: str) -> str:
    kind, _, name = field.partition(" ")
    if kind == "setting":
        return setting_label(name)
    return f"{kind.capitalize()} {name}" if name else _LABELS[field]


def _is_secret(value: Any) -> bool:
    return isinstance(value, Variable) and value.is_secret


def _in_words(value: Any) -> str:
    if value is None or value == "":
        return NOT_SET
    if isinstance(value, bool):
        return drift_in_words(value)
    if isinstance(value, WorkerQueue):
        return queue_in_words(value)
    if isinstance(value, SettingValue):
        return setting_in_words(value.value)
    if isinstance(value, OwnImage):
        return image_in_words(value)
    if isinstance(value, Variable):
        return SECRET if value.is_secret else value.value or "empty"
    return str(value)
