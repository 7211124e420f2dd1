"""Why uv failed, where that has nothing to do with what was asked for."""

import re

INDEX_AWAY = "The package index does not answer. Check the network and proxy of this machine."
CAUSES = (
    (r"No space left|os error 28|disk quota", "The disk is full. Free some space and try again."),
    (
        r"dns error|Failed to fetch|Could not connect|timed out|sending request|Connection refused",
        INDEX_AWAY,
    ),
    (
        r"hash mismatch",
        "A package differs from the tested one: its hash does not match the lock file.",
    ),
)


def known_cause(output: str) -> str:
    """Return the message of a known cause, "" for what uv has against the packages."""
    for pattern, message in CAUSES:
        if re.search(pattern, output, re.IGNORECASE):
            return message
    return ""
