"""Upgrades by programs: check, confirm for later, cancel."""

from datetime import timedelta

from django.utils import timezone

from apps.core.public_ids import public_id
from apps.upgrades.models import Upgrade


def test_a_program_checks_confirms_and_cancels(alice, bob, program_of, make_deployment):
    older = make_deployment(config={"runtime": "3.2.2-1"})
    path = f"/deployments/{public_id('deployment', older.pk)}/upgrades"
    program, looking = program_of(alice), program_of(bob)
    assert looking.post(path, {"targetRuntimeVersion": "3.3.2-1"}).status_code == 403
    assert program.post(path, {"targetRuntimeVersion": "9.9.9-1"}).status_code == 400

    checked = program.post(path, {"targetRuntimeVersion": "3.3.2-1"})

    assert checked.status_code == 200, checked.content
    assert checked.json()["status"] == "CHECKING"
    one = f"{path}/1"
    assert program.post(f"{one}/confirm", {}).status_code == 409, "it is not checked yet"
    found = {"tone": "good", "title": "All is well", "detail": "", "lines": []}
    Upgrade.objects.update(state="ready", findings=[found])
    assert looking.get(one).json()["findings"] == [found]
    assert program.post(f"{one}/confirm", {"startsAt": "2020-01-01T00:00:00"}).status_code == 400
    later = (timezone.now() + timedelta(hours=1)).isoformat()
    assert program.post(f"{one}/confirm", {"startsAt": later}).json()["status"] == "WAITING"
    assert looking.post(f"{one}/cancel").status_code == 403
    assert program.post(f"{one}/cancel").json()["status"] == "CANCELLED"
    assert [row["number"] for row in program.get(path).json()["upgrades"]] == [1]
    assert program.get(f"{path}/2").status_code == 404
