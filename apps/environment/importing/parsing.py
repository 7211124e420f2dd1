"""Text to plain data: YAML, JSON and .env, without anything that grows or runs. Pure."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from apps.core.errors import Invalid
from apps.core.plain_yaml import DEEPEST, read_plain

MOST_BYTES = 1_000_000
FIELD = "text"
_LINE = re.compile(r"(?:export\s+)?([^\s=#]+)\s*=\s?(.*)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}


class Text(str):
    """A YAML scalar as it was typed; `typed` is what YAML takes it for."""

    typed: Any


def decoded(data: bytes) -> str:
    """Return a file as text. Raises Invalid for one that is too large or no UTF-8."""
    if len(data) > MOST_BYTES:
        raise Invalid(f"The file is larger than {MOST_BYTES // 1_000_000} MB.", field=FIELD)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("The file is not text in UTF-8. Save it as UTF-8.", field=FIELD) from None


def parsed_json(text: str) -> Any:
    """Return what JSON says. Raises Invalid with the line, never with the text."""
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise Invalid("This is nested too deeply.", field=FIELD) from None
    except json.JSONDecodeError as error:
        raise Invalid(f"This is not JSON (line {error.lineno}).", field=FIELD) from None
    except ValueError:
        raise Invalid("A number in the JSON is too long.", field=FIELD) from None
    _refuse_depth(found)
    return found


def parsed_yaml(text: str) -> Any:
    """Return what YAML says: dictionaries, lists and `Text`. Raises Invalid with the line."""
    too_large = Invalid("This YAML is too deep or too large.", field=FIELD)
    return read_plain(text, field=FIELD, too_large=too_large, scalar=_scalar)


def parsed_lines(text: str) -> dict[str, str]:
    """Return the variables of a .env file. Quotes, escapes in double quotes, `export`, comments and
    values of several lines in quotes are understood; nothing is expanded. Raises Invalid.
    """
    found: dict[str, str] = {}
    for number, line in _logical_lines(text):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise Invalid(f"Line {number} is not NAME=value.", field=FIELD)
        name, value = match[1], match[2].strip()
        if name in found:
            raise Invalid(f"Line {number} gives a name a second time.", field=FIELD)
        found[name] = _unquoted(value, number)
    return found


def typed(value: Any) -> Any:
    """Return data of `parsed_yaml` with numbers and booleans as such."""
    if isinstance(value, dict):
        return {str(key): typed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [typed(one) for one in value]
    return value.typed if isinstance(value, Text) else value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("The JSON gives one name twice.", field=FIELD)
    return found


def _refuse_depth(data: Any) -> None:
    level, depth = [data], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise Invalid("This is nested too deeply.", field=FIELD)
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]


def _scalar(node: yaml.ScalarNode) -> Text:
    text = Text(node.value)
    kind = node.tag.rpartition(":")[2]
    text.typed = node.value
    if kind == "bool":
        text.typed = node.value.lower() in ("true", "yes", "on")
    elif kind in ("int", "float"):
        try:
            text.typed = json.loads(node.value)
        except (ValueError, RecursionError):
            text.typed = node.value
    return text


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers, those of one quoted value joined; no comments."""
    held, began = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not held and (not line.strip() or line.lstrip().startswith("#")):
            continue
        held, began = (f"{held}\n{line}", began) if held else (line, number)
        if not _is_open(held):
            yield began, held
            held = ""
    if held:
        raise Invalid(f"The quote in line {began} does not end.", field=FIELD)


def _is_open(line: str) -> bool:
    match = _LINE.fullmatch(line.strip())
    value = match[2].strip() if match else ""
    if value[:1] not in ("'", '"'):
        return False
    return _end_of_quote(value) < 0


def _end_of_quote(value: str) -> int:
    """Return where the quote at the beginning ends, -1 if it does not."""
    quote, at = value[0], 1
    while at < len(value):
        if value[at] == "\\" and quote == '"':
            at += 1
        elif value[at] == quote:
            return at
        at += 1
    return -1


def _unquoted(value: str, number: int) -> str:
    if value[:1] not in ("'", '"'):
        return re.sub(r"\s+#.*", "", value).strip()
    end = _end_of_quote(value)
    rest = value[end + 1 :].strip()
    if rest and not rest.startswith("#"):
        raise Invalid(f"Line {number} goes on after its quote.", field=FIELD)
    inner = value[1:end]
    if value[0] == "'":
        return inner
    return re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[0]), inner, flags=re.DOTALL)
