"""What one Deployment runs and another does not. Pure, and without values of variables."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from apps.deployments.configuration.changes import drift_in_words, queue_in_words
from apps.deployments.configuration.schema import Configuration
from apps.deploys.deliveries.queries import FileChange, file_changes
from apps.deploys.models import Deploy
from apps.deploys.previews.comparing import (
    DagChange,
    PackageChange,
    dag_changes,
    has_changed_below,
    package_changes,
)

MOST_SHOWN = 500


@dataclass(frozen=True, kw_only=True)
class SettingChange:
    """A setting that differs, in words; "" where a Deployment does not have it."""

    label: str
    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What running the code of the source in the target would change, and what stays different.

    `image` is the image of people's own that is brought, in words, "" where none is. `dags` are as
    in a preview; `are_dags_known` is whether those of both were ever read.
    Of `settings` and variables nothing is promoted.
    """

    files: tuple[FileChange, ...]
    dags: tuple[DagChange, ...]
    n_same_dags: int
    are_dags_known: bool
    packages: tuple[PackageChange, ...]
    n_same_packages: int
    image: str
    restarts: bool
    settings: tuple[SettingChange, ...]
    only_in_source: tuple[str, ...]
    only_in_target: tuple[str, ...]


def difference(
    *,
    source: Deploy,
    target: Deploy | None,
    source_configuration: Configuration,
    target_configuration: Configuration,
) -> Difference:
    """Compare the deploy that runs in the source with that of the target, None for example DAGs."""
    files = file_changes(before=target, after=source)
    before = target.packages if target else []
    packages = package_changes(before=before, after=source.packages)
    image = _brought_image(source_configuration, target_configuration)
    known = source.dags is not None and (target is None or target.dags is not None)
    dags = _dags(source, target, files) if known else ()
    source_names = {variable.key for variable in source_configuration.variables}
    target_names = {variable.key for variable in target_configuration.variables}
    return Difference(
        files=files,
        dags=dags[:MOST_SHOWN],
        n_same_dags=len(source.dags or ()) - _still_there(dags),
        are_dags_known=known,
        packages=packages,
        n_same_packages=len(source.packages) - _still_there(packages),
        image=image,
        restarts=bool(image) or _restarts(source, target),
        settings=tuple(_settings(source_configuration, target_configuration)),
        only_in_source=tuple(sorted(source_names - target_names)),
        only_in_target=tuple(sorted(target_names - source_names)),
    )


def _dags(
    source: Deploy, target: Deploy | None, files: Iterable[FileChange]
) -> tuple[DagChange, ...]:
    changed = {file.path for file in files}
    changed |= {path.removeprefix("dags/") for path in changed}
    before = (target.dags or []) if target else []
    return dag_changes(before=before, after=source.dags or [], changed_files=frozenset(changed))


def _still_there(changes: Iterable[DagChange | PackageChange]) -> int:
    return sum(one.change != "removed" for one in changes)


def _restarts(source: Deploy, target: Deploy | None) -> bool:
    packages, files = (target.packages_digest, target.files) if target else ("", [])
    has_new_plugins = has_changed_below("plugins/", before=files, after=source.files)
    return source.packages_digest != packages or has_new_plugins


def _settings(source: Configuration, target: Configuration) -> Iterator[SettingChange]:
    pairs = {
        "Runtime": (source.runtime, target.runtime),
        "Executor": (source.executor.capitalize(), target.executor.capitalize()),
        "Drift": (drift_in_words(source.corrects_drift), drift_in_words(target.corrects_drift)),
    }
    if source.image is None:
        # One of the source is promoted.
        pairs["Image"] = (_image(source), _image(target))
    for name in sorted({queue.name for queue in (*source.queues, *target.queues)}):
        pairs[f"Queue {name}"] = (_queue(source, name), _queue(target, name))
    for label, (left, right) in pairs.items():
        if left != right:
            yield SettingChange(label=label, source=left, target=right)


def _brought_image(source: Configuration, target: Configuration) -> str:
    present = target.image.digest if target.image else ""
    is_brought = source.image is not None and source.image.digest != present
    return _image(source) if is_brought else ""


def _image(configuration: Configuration) -> str:
    image = configuration.image
    return f"{image.name} ({image.digest[:19]})" if image else "that of the runtime"


def _queue(configuration: Configuration, name: str) -> str:
    queue = configuration.queue(name)
    return queue_in_words(queue) if queue else ""
