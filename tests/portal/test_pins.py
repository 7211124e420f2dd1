import pytest
from django.db import IntegrityError, transaction

from apps.portal.models import Pin
from apps.portal.services import pin, unpin


def test_a_pin_is_kept_once_and_taken_away(alice, deployment, workspace):
    for on in (deployment, workspace, deployment):
        pin(user=alice, on=on)
    assert Pin.objects.filter(user=alice).count() == 2

    unpin(user=alice, on=deployment)
    unpin(user=alice, on=deployment)

    assert [str(one) for one in Pin.objects.filter(user=alice)] == ["Warehouse"]


def test_a_pin_is_of_one_thing(alice, deployment, workspace):
    for fields in ({}, {"deployment": deployment, "workspace": workspace}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Pin.objects.create(user=alice, **fields)


@pytest.mark.parametrize("path", ["/d/etl-prod-7f3c/pin/", "/w/warehouse/pin/"])
def test_a_person_pins_and_unpins_from_a_page_and_returns_to_it(path, bob, deployment, client_of):
    client = client_of(bob)

    pinned = client.post(path, {"next": "/o/nordhavn/"})
    home = client.get("/").content.decode()
    unpinned = client.post(path, {"pinned": "no"})

    assert pinned["Location"] == "/o/nordhavn/"
    assert 'aria-label="Unpin' in home
    assert unpinned["Location"] == "/"
    assert Pin.objects.count() == 0


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example/", "javascript:x"])
def test_a_pin_leads_to_no_other_site(back, bob, deployment, client_of):
    answer = client_of(bob).post(f"/d/{deployment.ref}/pin/", {"next": back})

    assert answer["Location"] == "/"


def test_pins_are_of_one_person_and_give_no_right(alice, bob, charlie, deployment, client_of):
    pin(user=alice, on=deployment)
    pin(user=charlie, on=deployment)

    assert "etl-prod" not in client_of(charlie).get("/").content.decode()
    assert 'aria-label="Unpin' not in client_of(bob).get("/").content.decode()
    assert client_of(charlie).post(f"/d/{deployment.ref}/pin/").status_code == 404
