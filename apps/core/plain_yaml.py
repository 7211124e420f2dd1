"""YAML that strangers write, as plain data: without references, tags, depth or names given twice.
A message never quotes the text: it may hold a secret.
"""

from collections.abc import Callable
from typing import Any

import yaml

from apps.core.errors import Invalid

MOST_NODES = 20_000
DEEPEST = 20
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = "tag:yaml.org,2002:null"
Scalar = Callable[[yaml.ScalarNode], Any]


def read_plain(
    text: str, *, field: str, too_large: Invalid, scalar: Scalar = lambda node: node.value
) -> Any:
    """Return dictionaries, lists, None for null, and what `scalar` makes of the rest. Raises
    Invalid for the field, with the line; `too_large` for what is too deep or too large.
    """
    try:
        _measure(text, field, too_large)
        return _plain(yaml.compose(text, Loader=_LOADER), field, scalar)
    except (yaml.YAMLError, UnicodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise Invalid(f"This is not YAML{where}.", field=field) from None


def _measure(text: str, field: str, too_large: Invalid) -> None:
    """Refuse what would grow when it is built: references, deep nesting, endless lists."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if isinstance(event, yaml.AliasEvent):
            raise Invalid("References (&name, *name) are not accepted in YAML.", field=field)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST or count > MOST_NODES:
            raise too_large


def _plain(node: yaml.Node | None, field: str, scalar: Scalar) -> Any:
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise Invalid("A name in the YAML must be text.", field=field)
            if key.value in found:
                raise Invalid("The YAML gives one name twice.", field=field)
            found[key.value] = _plain(value, field, scalar)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, field, scalar) for item in node.value]
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == _NULL else scalar(node)
    return None
