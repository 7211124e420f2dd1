"""What differs between two configurations, and what applying the difference restarts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.schema import (
    LOCAL_SIZE,
    Configuration,
    OwnImage,
    Variable,
)
from apps.layers.catalogue import SETTINGS
from apps.layers.kinds.certificates import BEGIN, certificates_in_words
from apps.layers.kinds.labels import labels_text, tolerations_text

NOT_SET = "not set"
REMOVED = "removed"
SECRET = "secret"  # noqa: S105 - the word shown in place of one
NEW_SECRET = "new secret"  # noqa: S105 - a word
NOTHING_RESTARTS = "Nothing restarts"
WORKERS_RESTART = "Restarts the workers of"
EVERYTHING_RESTARTS = "Restarts every component"
COMPONENTS_RESTART = "Restarts components, and no worker"
DATABASE_MIGRATES = "Migrates the metadata database permanently, then restarts every component"
SUMMARY_LENGTH = 200
DISK_GIB = WorkerQueue.disk_gib
DRIFT_LABEL, IMAGE_LABEL = "Drift", "Image"
OF_RUNTIME = "that of the runtime"
INHERITED = "inherited"
_RESTARTS = {
    "nothing": NOTHING_RESTARTS,
    "components": COMPONENTS_RESTART,
    "everything": EVERYTHING_RESTARTS,
}
INSTEAD = {
    "local": "tasks run next to the scheduler instead",
    "kubernetes": "each task runs in its own pod instead",
}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One line of a review. `tone` is empty, or `warn` or `bad` when something is lost."""

    section: Literal["Basics", "Execution", "Worker queues", "Settings", "Environment variables"]
    label: str
    before: str
    after: str
    effect: str
    tone: Literal["", "warn", "bad"] = ""


def changes(old: Configuration | None, new: Configuration) -> tuple[Change, ...]:
    """Return what differs, in the order of the form; without `old` all. Secrets stay hidden."""
    if old is None:
        return (
            *_new_basics(new),
            *_new_queues(new),
            *_new_settings(new),
            *_new_variables(new),
        )
    return (
        *_basics(old, new),
        *_queues(old, new),
        *_settings(old, new),
        *_variables(old, new),
    )


def brings_secrets(old: Configuration | None, new: Configuration) -> bool:
    """Return whether a configuration has secret values that the previous one lacks."""
    return bool(set(new.secret_ids) - set(old.secret_ids if old else ()))


def _new_basics(new: Configuration) -> Iterator[Change]:
    if new.description:
        yield Change(
            section="Basics", label="Description", before="", after=new.description, effect=""
        )
    yield Change(section="Execution", label="Runtime", before="", after=new.runtime, effect="")
    if new.image:
        after = image_in_words(new.image)
        yield Change(section="Execution", label=IMAGE_LABEL, before="", after=after, effect="")
    yield Change(
        section="Execution", label="Executor", before="", after=new.executor.capitalize(), effect=""
    )
    if not new.corrects_drift:
        after = drift_in_words(new.corrects_drift)
        yield Change(section="Execution", label=DRIFT_LABEL, before="", after=after, effect="")


def _new_queues(new: Configuration) -> Iterator[Change]:
    for queue in new.queues:
        yield Change(
            section="Worker queues",
            label=queue.name,
            before="",
            after=queue_in_words(queue),
            effect="",
        )


def _new_settings(new: Configuration) -> Iterator[Change]:
    for setting in new.settings:
        after = setting_in_words(setting.value)
        yield Change(
            section="Settings", label=setting_label(setting.name), before="", after=after, effect=""
        )


def _new_variables(new: Configuration) -> Iterator[Change]:
    for variable in new.variables:
        after = NEW_SECRET if variable.is_secret else variable.value
        yield Change(
            section="Environment variables", label=variable.key, before="", after=after, effect=""
        )


def _basics(old: Configuration, new: Configuration) -> Iterator[Change]:
    if old.description != new.description:
        yield Change(
            section="Basics",
            label="Description",
            before=old.description or NOT_SET,
            after=new.description or REMOVED,
            effect=NOTHING_RESTARTS,
        )
    if old.runtime != new.runtime:
        yield Change(
            section="Execution",
            label="Runtime",
            before=old.runtime,
            after=new.runtime,
            effect=DATABASE_MIGRATES,
            tone="warn",
        )
    if old.image != new.image:
        yield _image(old.image, new.image)
    if old.executor != new.executor:
        yield Change(
            section="Execution",
            label="Executor",
            before=old.executor.capitalize(),
            after=new.executor.capitalize(),
            effect=EVERYTHING_RESTARTS,
            tone="warn",
        )
    if old.corrects_drift != new.corrects_drift:
        yield Change(
            section="Execution",
            label=DRIFT_LABEL,
            before=drift_in_words(old.corrects_drift),
            after=drift_in_words(new.corrects_drift),
            effect=NOTHING_RESTARTS,
        )


def _image(old: OwnImage | None, new: OwnImage | None) -> Change:
    is_same_image = old and new and (old.name, old.digest) == (new.name, new.digest)
    after = image_in_words(new)
    return Change(
        section="Execution",
        label=IMAGE_LABEL,
        before=image_in_words(old),
        after=f"{after}, another pull secret" if is_same_image else after,
        effect=NOTHING_RESTARTS if is_same_image else EVERYTHING_RESTARTS,
    )


def _queues(old: Configuration, new: Configuration) -> Iterator[Change]:
    if new.executor != "celery" and old.queues:
        names = ", ".join(queue.name for queue in old.queues)
        yield Change(
            section="Worker queues",
            label="All queues" if len(old.queues) > 1 else "Queue",
            before=names,
            after=REMOVED,
            effect=f"Removes the {_plural('queue', len(old.queues))} {names}: "
            f"{INSTEAD[new.executor]}",
            tone="bad",
        )
        return
    for queue in old.queues:
        if new.queue(queue.name) is None:
            yield Change(
                section="Worker queues",
                label=queue.name,
                before=queue_in_words(queue),
                after=REMOVED,
                effect=f"Removes the queue {queue.name}: tasks that use it stay queued",
                tone="bad",
            )
    for queue in new.queues:
        before = old.queue(queue.name)
        if before is None:
            yield Change(
                section="Worker queues",
                label=queue.name,
                before=NOT_SET,
                after=queue_in_words(queue),
                effect="New queue, idle until a task uses it",
            )
        else:
            yield from _queue(before, queue)


def _queue(old: WorkerQueue, new: WorkerQueue) -> Iterator[Change]:
    restarts = f"{WORKERS_RESTART} {new.name} after their tasks"
    for label, before, after, effect in (
        ("size", old.size, new.size, restarts),
        ("tasks per worker", old.concurrency, new.concurrency, restarts),
        ("min workers", old.min_workers, new.min_workers, NOTHING_RESTARTS),
        ("max workers", old.max_workers, new.max_workers, NOTHING_RESTARTS),
        ("node selector", *(_nodes(one) for one in (old, new)), restarts),
        ("tolerations", *(_taints(one) for one in (old, new)), restarts),
        ("disk", f"{old.disk_gib} GiB", f"{new.disk_gib} GiB", restarts),
        ("GPUs", old.gpus, new.gpus, restarts),
    ):
        if before != after:
            yield Change(
                section="Worker queues",
                label=f"{new.name}, {label}",
                before=str(before),
                after=str(after),
                effect=effect,
            )


def _settings(old: Configuration, new: Configuration) -> Iterator[Change]:
    before, after = old.own_settings, new.own_settings
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            yield Change(
                section="Settings",
                label=setting_label(name),
                before=setting_in_words(before[name]) if name in before else INHERITED,
                after=setting_in_words(after[name]) if name in after else INHERITED,
                effect=_RESTARTS[SETTINGS[name].restarts if name in SETTINGS else "everything"],
            )


def _variables(old: Configuration, new: Configuration) -> Iterator[Change]:
    before = {variable.key: variable for variable in old.variables}
    after = {variable.key: variable for variable in new.variables}
    for key, variable in before.items():
        if key not in after:
            yield _variable(key, _shown(variable), REMOVED)
    for key, variable in after.items():
        earlier = before.get(key)
        if earlier is None:
            yield _variable(key, NOT_SET, NEW_SECRET if variable.is_secret else _shown(variable))
        elif (earlier.value, earlier.secret_id) != (variable.value, variable.secret_id):
            yield _variable(
                key, _shown(earlier), NEW_SECRET if variable.is_secret else _shown(variable)
            )


def _variable(key: str, before: str, after: str) -> Change:
    return Change(
        section="Environment variables",
        label=key,
        before=before,
        after=after,
        effect=EVERYTHING_RESTARTS,
    )


def _shown(variable: Variable) -> str:
    return SECRET if variable.is_secret else variable.value or "empty"


def queue_in_words(queue: WorkerQueue) -> str:
    """Write a queue in one line, like "4 tasks per worker, 0 to 2 workers", with its size first
    where there are sizes.
    """
    tasks = f"{queue.concurrency} {_plural('task', queue.concurrency)} per worker"
    if queue.size != LOCAL_SIZE:
        tasks = f"{queue.size}, {tasks}"
    special = [_nodes(queue)] if queue.node_selector else []
    special += [f"tolerates {_taints(queue)}"] if queue.tolerations else []
    special += [f"{queue.disk_gib} GiB disk"] if queue.disk_gib != DISK_GIB else []
    special += [f"{queue.gpus} {_plural('GPU', queue.gpus)}"] if queue.gpus else []
    tasks = ", ".join([*special, tasks])
    workers = f"{queue.max_workers} {_plural('worker', queue.max_workers)}"
    if queue.min_workers == queue.max_workers:
        return f"{tasks}, {workers}"
    return f"{tasks}, {queue.min_workers} to {workers}"


def _nodes(queue: WorkerQueue) -> str:
    return setting_in_words(labels_text(queue.node_selector))


def _taints(queue: WorkerQueue) -> str:
    return setting_in_words(tolerations_text(queue.tolerations))


def setting_label(name: str) -> str:
    """Return how people call a setting; the name itself for one that a newer portal knows."""
    return SETTINGS[name].label if name in SETTINGS else name


def setting_in_words(value: str) -> str:
    """Write the value of a setting in one line."""
    if value.startswith(BEGIN):
        return certificates_in_words(value)
    return ", ".join(value.splitlines()) or "none"


def image_in_words(image: OwnImage | None) -> str:
    """Name an image and the digest that runs, like "ghcr.io/acme/etl:1.4 (sha256:4bc5f1b81c9a)"."""
    if image is None:
        return OF_RUNTIME
    return f"{image.name} ({image.digest[:19]})" if image.digest else image.name


def drift_in_words(corrects_drift: bool) -> str:
    """Say what becomes of changes that others make on the data plane."""
    return "reverted" if corrects_drift else "report only"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def effects_of(differences: tuple[Change, ...]) -> list[str]:
    """List each effect once, and leave out those that a greater one includes."""
    effects = {change.effect: None for change in differences if change.effect}
    if len(effects) > 1:
        effects.pop(NOTHING_RESTARTS, None)
    if DATABASE_MIGRATES in effects:
        effects.pop(EVERYTHING_RESTARTS, None)
    if effects.keys() & {DATABASE_MIGRATES, EVERYTHING_RESTARTS}:
        effects.pop(COMPONENTS_RESTART, None)
        return [effect for effect in effects if not effect.startswith(WORKERS_RESTART)]
    return list(effects)


def summary_of(differences: tuple[Change, ...]) -> str:
    """Write what a revision changes in one line for lists, without values of variables.

    Each thing is named once: "heavy: max workers 4 to 6; 2 variables". At most SUMMARY_LENGTH.
    """
    words: dict[str, list[str]] = {}
    variables = []
    for change in differences:
        thing, _, setting = change.label.partition(", ")
        if change.section == "Environment variables":
            variables.append(change.label)
        else:
            words.setdefault(thing, []).append(_in_short(change, setting))
    parts = [f"{thing}: {', '.join(changed)}" for thing, changed in words.items()]
    if variables:
        n_variables = len(variables)
        parts.append(f"{n_variables} variables" if n_variables > 1 else f"variable {variables[0]}")
    return _joined(parts)


def _in_short(change: Change, setting: str) -> str:
    if change.label == "Description":
        return "changed"
    if change.after == REMOVED:
        return "removed"
    if change.before == NOT_SET:
        return "added"
    return f"{setting} {change.before} to {change.after}".strip()


def _joined(parts: list[str]) -> str:
    """Join what fits, and count the rest."""
    for n_shown in range(len(parts), 0, -1):
        more = f"; {len(parts) - n_shown} more" if n_shown < len(parts) else ""
        text = "; ".join(parts[:n_shown]) + more
        if len(text) <= SUMMARY_LENGTH:
            return text
    return parts[0][:SUMMARY_LENGTH]
