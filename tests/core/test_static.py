import gzip
import hashlib
import re
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders

from apps.core.styleguide.examples import icon_names

STATIC = Path(settings.BASE_DIR) / "static"
SHEETS = {path.name: path.read_text() for path in (STATIC / "css").glob("*.css")}
FIRST_LOAD = [
    "css/tokens.css",
    "css/base.css",
    "css/components.css",
    "js/app.js",
    "js/choices.js",
    "js/live.js",
    "img/icons.svg",
    "django_htmx/htmx-4.min.js",
    "django_htmx/ext/hx-ptag-4.min.js",
]


def without_comments(sheet: str) -> str:
    return re.sub(r"/\*.*?\*/", "", sheet, flags=re.S)


def test_only_the_tokens_hold_raw_colors() -> None:
    raw = re.compile(
        r"#[0-9a-f]{3,8}\b|\b(?:rgb|hsl|oklch)a?\(|:\s*(?:white|black|red|green|blue)\b"
    )

    found = {name: raw.findall(without_comments(sheet)) for name, sheet in SHEETS.items()}

    assert {name for name, colors in found.items() if colors} == {"tokens.css"}


def test_every_token_in_use_exists() -> None:
    sheets = without_comments("".join(SHEETS.values()))
    used = set(re.findall(r"var\((--[a-z0-9-]+)\s*\)", sheets))

    assert used - set(re.findall(r"(--[a-z0-9-]+)\s*:", sheets)) == set()


def test_the_sheets_stay_small_enough_to_read() -> None:
    assert sum(sheet.count("\n") for sheet in SHEETS.values()) < 1500


def test_files_of_others_are_what_was_recorded() -> None:
    vendor = STATIC / "vendor"
    recorded = dict(
        reversed(line.split()) for line in (vendor / "SHA256SUMS").read_text().splitlines()
    )

    found = {
        str(path.relative_to(vendor)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.rglob("*")
        if path.is_file() and path.parent != vendor
    }

    assert found == recorded
    assert all((folder / "LICENSE").is_file() for folder in vendor.iterdir() if folder.is_dir())


def test_scripts_stay_small_and_evaluate_nothing() -> None:
    for path in (STATIC / "js").glob("*.js"):
        source = path.read_text()

        assert source.count("\n") <= 150
        assert not re.search(r"\beval\(|new Function|innerHTML|\.style\b|localStorage", source)


def test_the_first_load_leaves_room_for_the_page() -> None:
    size = sum(
        len(gzip.compress(Path(str(finders.find(name))).read_bytes())) for name in FIRST_LOAD
    )

    assert size < 48_000


def test_every_drawing_has_one_name_and_inherits_its_color() -> None:
    names = icon_names()

    assert len(names) == len(set(names)) > 50
    assert not re.search(r"(?:fill|stroke)=\"#", (STATIC / "img" / "icons.svg").read_text())
