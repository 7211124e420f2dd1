"""What the renderer returns."""

from collections.abc import Iterable
from dataclasses import dataclass

from apps.dataplane.kubernetes.api.kinds import Manifest


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Objects that may be applied together, in any order. With `waits` the next stage begins when
    these objects are ready; a Job is ready when it has completed. A `free` one does not depend on
    the stage before it.
    """

    key: str
    title: str
    objects: tuple[Manifest, ...]
    waits: bool = False
    free: bool = False


def waves(stages: Iterable[Stage]) -> list[list[Stage]]:
    """Join stages that may be applied together; of each wave only the last may wait."""
    joined: list[list[Stage]] = []
    for stage in stages:
        if joined and stage.free and not joined[-1][-1].waits:
            joined[-1].append(stage)
        else:
            joined.append([stage])
    return joined
