"""Which options of an airflow.cfg, or of a list of environment variables, have a meaning here."""

import json
import re
from collections.abc import Iterable

from apps.dataplane.variables import OPTION_PREFIX, OPTIONS_FOLDER, allowed_options, option_variable

MOST_OPTIONS = 500
VARIABLE = re.compile(r"(?:export\s+|-\s+)?(AIRFLOW__[A-Z0-9_]+?)(?:_CMD|_SECRET)?\s*[=:]")
SECTION = re.compile(r"\[([A-Za-z0-9_.-]+)\]\s*$")
OPTION = re.compile(r"([A-Za-z0-9_]+)\s*=")


def names_in(text: str) -> list[str]:
    """Return the options that a text sets, as names of variables, without a value of any."""
    found, section = dict[str, None](), ""
    for line in text.splitlines():
        line = line.strip()
        if match := SECTION.match(line):
            section = match[1].replace(".", "_")
        elif match := VARIABLE.match(line):
            found[match[1]] = None
        elif section and (match := OPTION.match(line)):
            found[f"{OPTION_PREFIX}{section}__{match[1]}".upper()] = None
    return list(found)[:MOST_OPTIONS]


def sorted_by_fate(names: Iterable[str], airflow_version: str) -> dict[str, list[str]]:
    """Return `gone`, which that Airflow does not know, `portal`, which the portal sets itself, and
    `kept`, which can be variables of the Deployment.
    """
    path = OPTIONS_FOLDER / f"airflow-{airflow_version}.json"
    sections = json.loads(path.read_text()) if path.is_file() else {}
    known = {
        option_variable(section, option)
        for section, options in sections.items()
        for option in options
    }
    allowed = allowed_options()
    fates: dict[str, list[str]] = {"gone": [], "portal": [], "kept": []}
    for name in names:
        if known and name not in known:
            fates["gone"].append(name)
        else:
            fates["kept" if name in allowed else "portal"].append(name)
    return fates
