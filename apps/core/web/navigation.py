"""What the rail shows. Tuples all the way, so that a rail is drawn once for the same lines."""

from typing import NamedTuple


class Line(NamedTuple):
    """One line of the rail. `number` beside the label has a `tone`, where it is a warning."""

    label: str
    url: str
    icon: str = ""
    number: int | None = None
    tone: str = ""
    is_current: bool = False


class Group(NamedTuple):
    """Lines under one title; `switch_url` leads to others of its kind."""

    title: str
    links: tuple[Line, ...]
    switch_url: str = ""


class Navigation(NamedTuple):
    """All groups of a page, and what the page belongs to."""

    title: str
    groups: tuple[Group, ...]
