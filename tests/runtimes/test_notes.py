from datetime import date

import pytest

from apps.runtimes import notes
from apps.runtimes.catalogue import Runtime
from apps.runtimes.notes import runtime_note


def runtime(version: str, **fields: object) -> Runtime:
    usual: dict[str, object] = {
        "version": version,
        "airflow_version": version.partition("-")[0],
        "python_versions": ("3.11",),
        "released": date(2026, 1, 1),
        "supported_until": date(2027, 12, 31),
        "image": "",
        "lock": "",
        "yanked": "",
    }
    return Runtime(**(usual | fields))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    known = (
        runtime("3.3.2-1"),
        runtime("3.2.2-1"),
        runtime("3.1.0-1", yanked="it loses logs"),
        runtime("3.0.0-1", supported_until=date(2026, 10, 1)),
        runtime("2.9.0-1", supported_until=date(2026, 12, 1)),
    )
    monkeypatch.setattr(notes, "runtimes", lambda: known)
    monkeypatch.setattr(notes, "offered_runtimes", lambda today: known[:2])


@pytest.mark.parametrize(
    ("version", "tone", "message"),
    [
        ("3.2.2-1", "", "3.3.2-1 is available"),
        ("3.1.0-1", "bad", "Withdrawn: it loses logs"),
        ("3.0.0-1", "bad", "Support ended on 1 Oct 2026"),
        ("2.9.0-1", "warn", "Support ends on 1 Dec 2026"),
        ("1.0.0-1", "bad", "Not in the catalogue"),
    ],
)
def test_the_most_pressing_thing_is_said(version: str, tone: str, message: str) -> None:
    note = runtime_note(version, today=date(2026, 11, 22))

    assert note is not None
    assert (note.tone, note.message) == (tone, message)


def test_nothing_is_said_of_the_newest() -> None:
    assert runtime_note("3.3.2-1", today=date(2026, 11, 22)) is None
