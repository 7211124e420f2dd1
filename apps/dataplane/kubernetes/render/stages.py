"""What the renderer returns."""

from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Objects that may be applied together, in any order. With `waits` the next stage begins when
    these objects are well; a Job is well when it has completed.
    """

    key: str
    title: str
    objects: tuple[Manifest, ...]
    waits: bool = False
