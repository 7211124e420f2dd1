"""A configuration as YAML, to read and to compare. Secrets are placeholders there."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import ndiff
from typing import Literal

from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.schema import Configuration
from apps.layers.kinds.labels import tolerations_text

_SIGNS: dict[str, Literal["old", "new", "same"]] = {"- ": "old", "+ ": "new", "  ": "same"}


@dataclass(frozen=True)
class DiffLine:
    side: Literal["old", "new", "same"]
    text: str


def yaml_of(configuration: Configuration) -> str:
    """Write a configuration as YAML. JSON strings are YAML strings, so nothing needs a library."""
    return "\n".join(_lines(configuration, secret="secret", known=())) + "\n"  # noqa: S106 - a word


def yaml_difference(old: Configuration, new: Configuration) -> list[DiffLine]:
    """Compare two configurations line by line; a replaced secret reads "new secret"."""
    before = _lines(old, secret="secret", known=())  # noqa: S106 - a word
    after = _lines(new, secret="new secret", known=old.secret_ids)  # noqa: S106 - a word
    lines = ndiff(list(before), list(after))
    return [DiffLine(_SIGNS[line[:2]], line[2:]) for line in lines if line[:2] in _SIGNS]


def _nodes(queue: WorkerQueue) -> Iterator[str]:
    usual = WorkerQueue(name="", concurrency=1, min_workers=0, max_workers=1)
    if queue.node_selector:
        yield f"    node_selector: {json.dumps(dict(queue.node_selector))}"
    if queue.tolerations:
        yield f"    tolerations: {json.dumps(tolerations_text(queue.tolerations).splitlines())}"
    if queue.disk_gib != usual.disk_gib:
        yield f"    disk_gib: {queue.disk_gib}"
    if queue.gpus:
        yield f"    gpus: {queue.gpus}"


def _lines(configuration: Configuration, *, secret: str, known: Iterable[str]) -> Iterator[str]:
    yield f"description: {json.dumps(configuration.description, ensure_ascii=False)}"
    yield f"runtime: {configuration.runtime}"
    if configuration.image:
        yield "image:"
        yield f"  name: {json.dumps(configuration.image.name, ensure_ascii=False)}"
        yield f"  digest: {configuration.image.digest}"
        if configuration.image.secret_id:
            word = "secret" if configuration.image.secret_id in known else secret
            yield f"  pull_secret: !{word.replace(' ', '-')}"
    yield f"executor: {configuration.executor}"
    if not configuration.corrects_drift:
        yield "corrects_drift: false"
    yield "queues:" if configuration.queues else "queues: []"
    for queue in configuration.queues:
        yield f"  {queue.name}:"
        yield f"    size: {queue.size}"
        yield f"    concurrency: {queue.concurrency}"
        yield f"    min_workers: {queue.min_workers}"
        yield f"    max_workers: {queue.max_workers}"
        yield from _nodes(queue)
    if configuration.settings:
        yield "settings:"
    for setting in configuration.settings:
        yield f"  {setting.name}: {json.dumps(setting.value, ensure_ascii=False)}"
    yield "variables:" if configuration.variables else "variables: []"
    for variable in configuration.variables:
        if variable.is_secret:
            word = "secret" if variable.secret_id in known else secret
            yield f"  {variable.key}: !{word.replace(' ', '-')}"
        else:
            yield f"  {variable.key}: {json.dumps(variable.value, ensure_ascii=False)}"
