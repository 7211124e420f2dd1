"""Patterns of rules as clients write them: lists of names with an operator. Pure.

A pattern of the portal is text in which `*` stands for anything, and several are separated by
commas. `IS` are names, and a star alone for all; `INCLUDES` are parts of names; what is neither is
`MATCHES`, which other clients than those of this portal do not know.
"""

from collections.abc import Iterable, Iterator

from apps.alerts.rules.matching import patterns_of
from apps.api.wire.errors import NotOffered
from apps.api.wire.shapes import Shape
from apps.core.errors import Invalid

FIELD = "rules.patternMatches"
POSITIVE = ("IS", "INCLUDES", "MATCHES")
NEGATIVE = ("IS_NOT", "EXCLUDES", "MATCHES_NOT")
# Which field of a rule a kind of name goes to.
PLACES = {
    ("DAG_ID", True): "dags",
    ("DAG_ID", False): "without_dags",
    ("TASK_ID", True): "tasks",
    ("DAG_TAG", True): "tags",
}


class PatternMatch(Shape):
    entity_type: str
    operator_type: str
    values: list[str]


def texts_of(matches: Iterable[PatternMatch]) -> dict[str, str]:
    """Return the fields of a rule that hold patterns, each as its text. Raises Invalid, and
    NotOffered for what a rule cannot say.
    """
    found = dict.fromkeys(PLACES.values(), "")
    for match in matches:
        is_positive = match.operator_type in POSITIVE
        if not is_positive and match.operator_type not in NEGATIVE:
            raise Invalid(f"Choose one of {', '.join(POSITIVE + NEGATIVE)}.", field=FIELD)
        place = PLACES.get((match.entity_type, is_positive))
        if place is None:
            raise NotOffered("Rules leave out DAGs only: send IS_NOT and EXCLUDES with DAG_ID.")
        if found[place]:
            raise NotOffered(
                f"Send all names of {match.entity_type} with one operator. For several, use "
                "MATCHES: it takes names in which * stands for anything."
            )
        found[place] = ", ".join(_written(match))
    return found


def matches_of(texts: dict[str, str]) -> list[PatternMatch]:
    """Return the patterns of a rule as clients write them."""
    return [
        _match(kind, is_positive, patterns_of(texts[place]))
        for (kind, is_positive), place in PLACES.items()
        if texts[place]
    ]


def _written(match: PatternMatch) -> Iterator[str]:
    is_part = match.operator_type in ("INCLUDES", "EXCLUDES")
    is_raw = match.operator_type in ("MATCHES", "MATCHES_NOT")
    for one in match.values:
        if "," in one or (not is_raw and not _is_name(one)):
            raise Invalid(f"“{one[:80]}” is no name: it has a comma or a star.", field=FIELD)
        yield f"*{one}*" if is_part else one


def _match(kind: str, is_positive: bool, patterns: tuple[str, ...]) -> PatternMatch:
    names = POSITIVE if is_positive else NEGATIVE
    if all(_is_name(one) for one in patterns):
        return PatternMatch(entity_type=kind, operator_type=names[0], values=list(patterns))
    parts = [one[1:-1] for one in patterns if len(one) > 2 and one[0] == one[-1] == "*"]
    if len(parts) == len(patterns) and not any("*" in one for one in parts):
        return PatternMatch(entity_type=kind, operator_type=names[1], values=parts)
    return PatternMatch(entity_type=kind, operator_type=names[2], values=list(patterns))


def _is_name(pattern: str) -> bool:
    return "*" not in pattern or pattern == "*"
