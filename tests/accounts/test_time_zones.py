from datetime import UTC, datetime

import pytest

from apps.organizations.models import Organization

MOMENT = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [("Europe/Copenhagen", "13:00:00 CET"), ("UTC", "12:00:00 UTC"), ("Moon/Base", "12:00:00 UTC")],
)
def test_times_are_shown_in_the_zone_of_the_person(alice, organization, client_of, zone, shown):
    Organization.objects.update(created_at=MOMENT)
    alice.time_zone = zone
    alice.save(update_fields=["time_zone"])

    assert shown in client_of(alice).get("/o/nordhavn/").content.decode()
