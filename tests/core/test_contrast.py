"""Colors that carry words or edges keep the contrast of WCAG 2.2, by day and by night."""

import re
from pathlib import Path

import pytest
from django.conf import settings

SHEET = (Path(settings.BASE_DIR) / "static/css/tokens.css").read_text()
COLORS = {
    name: (day, night)
    for name, day, night in re.findall(
        r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", SHEET
    )
}
GROUNDS = ("ground", "surface", "sunken", "raised", "hover")
TONES = ("good", "move", "warn", "bad", "idle")
WORDS = (
    [(ink, ground) for ink in ("ink", "ink-2", "ink-3", "accent") for ground in GROUNDS]
    + [("ink", f"{tone}-soft") for tone in TONES]
    + [(f"{tone}-ink", on) for tone in TONES for on in ("ground", "surface", f"{tone}-soft")]
    + [("accent", "accent-soft"), ("on-accent", "accent-fill"), ("on-accent", "accent-fill-hover")]
    + [
        ("on-accent", "bad-fill"),
        ("bar-ink", "bar"),
        ("bar-ink-2", "bar"),
        ("bar-ink-2", "bar-field"),
    ]
)
EDGES = (
    [(f"{tone}-mark", on) for tone in TONES for on in ("ground", "surface", f"{tone}-soft")]
    + [("line-strong", on) for on in ("ground", "surface", "raised")]
    + [("focus", on) for on in ("ground", "surface", "raised")]
    + [("brass", "bar"), ("brass-deep", "surface")]
)


def luminance(color: str) -> float:
    """Weigh the channels as https://www.w3.org/TR/WCAG22/#dfn-relative-luminance does."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(front: str, back: str) -> float:
    lighter, darker = sorted((luminance(front), luminance(back)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["day", "night"])
@pytest.mark.parametrize(("pairs", "least"), [(WORDS, 4.5), (EDGES, 3.0)], ids=["words", "edges"])
def test_contrast_is_enough(pairs: list[tuple[str, str]], least: float, theme: int) -> None:
    found = {pair: contrast(COLORS[pair[0]][theme], COLORS[pair[1]][theme]) for pair in pairs}

    assert {pair: round(ratio, 2) for pair, ratio in found.items() if ratio < least} == {}


def test_black_on_white_is_the_known_extreme() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
