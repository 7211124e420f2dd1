"""docs/benchmarks.md, written from what was measured and from nothing else."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.report import RESULTS

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, DATA = DOCS / "benchmarks.md", DOCS / "benchmarks.json"
INTRODUCTION = """\
<!-- Written by `python -m bench report` from benchmarks.json. Do not edit. -->
# Benchmarks

What the portal costs, beside something that does the same job. `make bench` measures it on your
machine, and `python -m bench report` writes this page. Both sides of a comparison run by turns, so
read the ratios first: absolute times belong to one machine. A run on a busy machine is refused.
"""
COLUMNS = (
    "| What | Measured | Beside it | Ratio (least to greatest) | Goal | |",
    "|---|---|---|---|---|---|",
)


def write_page() -> None:
    """Keep the results of `make bench` in docs/ and write the page from them."""
    if RESULTS.exists():
        shutil.copyfile(RESULTS, DATA)
    PAGE.write_text(page_of(json.loads(DATA.read_text())))


def page_of(data: Mapping[str, Any]) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in data["machine"].items())
    parts = [INTRODUCTION, f"Machine: {facts}.\n"]
    parts += [_section(name, result) for name, result in data["results"].items()]
    if not data["results"]:
        parts.append("Nothing is measured yet.\n")
    return "\n".join(parts)


def _section(name: str, result: Mapping[str, Any]) -> str:
    title = f"## {name}\n"
    if result["noise"]:
        return f"{title}\nNot measured: the machine was not quiet.\n"
    if not result["lines"]:
        return f"{title}\nNot measured: something that it needs was not there.\n"
    rows = [_row(line) for line in result["lines"]]
    notes = [f"* {note}" for note in result["notes"]]
    found = [
        title,
        *COLUMNS,
        *rows,
        *(["", *notes] if notes else []),
        "",
        f"{result['at'][:10]}.",
        "",
    ]
    return "\n".join(found)


def _row(line: Mapping[str, Any]) -> str:
    ratio = "" if line["ratio"] is None else f"{line['ratio']:.3g}x"
    if line["spread"]:
        ratio += " ({:.3g} to {:.3g})".format(*line["spread"])
    cells = (line["name"], line["ours"], line["peer"], ratio, line["goal"], line["verdict"])
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
