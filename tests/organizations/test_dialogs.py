"""Forms in dialogs: an error opens the dialog again with what was typed; browsers without script
find the same form on a page.
"""

import re

import pytest

from apps.organizations.teams.services import create_team

OPEN = re.compile(r'<dialog class="dialog" id="([\w-]+)"[^>]* open>(.*?)</dialog>', re.S)
ANY = re.compile(r'<dialog class="dialog" id="([\w-]+)"')


def open_dialogs(response):
    """Map the dialogs that came open to their markup."""
    return dict(OPEN.findall(response.content.decode()))


@pytest.fixture
def team(alice, organization):
    return create_team(actor=alice, organization=organization, name="Data")


# The page with the dialog, the address that its form is sent to, and its name.
PAGES = {
    "access": ("/d/etl-prod-7f3c/access/", "/d/etl-prod-7f3c/access/", "assign"),
    "members": ("/o/nordhavn/members/", "/o/nordhavn/members/invite/", "invite"),
    "workspace members": ("/w/warehouse/members/", "/w/warehouse/members/add/", "invite"),
    "teams": ("/o/nordhavn/teams/", "/o/nordhavn/teams/new/", "create"),
    "team": ("/o/nordhavn/teams/{team}/", "/o/nordhavn/teams/{team}/", "add"),
    "tokens": ("/o/nordhavn/tokens/", "/o/nordhavn/tokens/new/", "create"),
    "workspace tokens": ("/w/warehouse/tokens/", "/w/warehouse/tokens/new/", "create"),
    "Deployment tokens": ("/d/etl-prod-7f3c/tokens/", "/d/etl-prod-7f3c/tokens/new/", "create"),
}


@pytest.mark.parametrize("name", PAGES)
def test_an_error_opens_the_dialog_again_with_what_was_typed(
    alice, team, deployment, client_of, name
):
    page, action, dialog = (text.format(team=team.pk) for text in PAGES[name])
    client = client_of(alice)
    typed = "<not an address>" + "x" * 300

    before = client.get(page)
    after = client.post(action, {"email": typed, "name": typed, "until": "week"})

    assert dialog in ANY.findall(before.content.decode())
    assert open_dialogs(before) == {}
    assert after.status_code == 422
    assert list(open_dialogs(after)) == [dialog]
    shown = open_dialogs(after)[dialog]
    assert "&lt;not an address&gt;xxx" in shown
    assert "There is a problem" in shown
    assert f'action="{action}"' in shown
    assert 'value="week" selected' in shown or "until" not in shown
    assert "<title>Error: " in after.content.decode()


def test_a_role_for_a_team_goes_back_into_its_own_dialog(alice, team, deployment, client_of):
    client = client_of(alice)

    for page, dialog in (
        ("/d/etl-prod-7f3c/access/", "assign-team"),
        ("/o/nordhavn/team-roles/", "assign"),
        ("/w/warehouse/teams/", "assign"),
    ):
        after = client.post(page, {"team": team.pk, "role": "none", "until": "day"})

        assert after.status_code == 422
        assert list(open_dialogs(after)) == [dialog]
        shown = open_dialogs(after)[dialog]
        assert f'<option value="{team.pk}" selected>' in shown
        assert 'value="day" selected' in shown
        assert "<title>Error: " in after.content.decode()


@pytest.mark.parametrize(
    ("page", "dialog"),
    [
        ("/d/etl-prod-7f3c/access/", "assign"),
        ("/d/etl-prod-7f3c/access/", "assign-team"),
        ("/o/nordhavn/team-roles/", "assign"),
        ("/w/warehouse/teams/", "assign"),
        ("/o/nordhavn/teams/{team}/", "add"),
    ],
)
def test_without_script_the_button_leads_to_the_open_form(
    alice, team, deployment, client_of, page, dialog
):
    client = client_of(alice)
    page = page.format(team=team.pk)

    link = f'data-dialog="{dialog}" href="?dialog={dialog}"'
    assert link in client.get(page).content.decode()
    assert list(open_dialogs(client.get(f"{page}?dialog={dialog}"))) == [dialog]


@pytest.mark.parametrize(
    ("page", "form"),
    [
        ("/o/nordhavn/members/", "/o/nordhavn/members/invite/"),
        ("/w/warehouse/members/", "/w/warehouse/members/add/"),
        ("/o/nordhavn/teams/", "/o/nordhavn/teams/new/"),
        ("/o/nordhavn/tokens/", "/o/nordhavn/tokens/new/"),
        ("/w/warehouse/tokens/", "/w/warehouse/tokens/new/"),
        ("/d/etl-prod-7f3c/tokens/", "/d/etl-prod-7f3c/tokens/new/"),
    ],
)
def test_without_script_the_button_leads_to_a_page_with_the_form(
    alice, deployment, client_of, page, form
):
    client = client_of(alice)

    assert re.search(rf'data-dialog="\w+" href="{form}"', client.get(page).content.decode())
    assert client.get(form).status_code == 200
    assert b'method="post"' in client.get(form).content


def test_who_may_not_change_anything_has_no_dialog(bob, team, deployment, client_of):
    client = client_of(bob)

    for page in (
        "/d/etl-prod-7f3c/access/?dialog=assign",
        "/o/nordhavn/members/",
        "/w/warehouse/members/",
        "/o/nordhavn/teams/",
        "/o/nordhavn/team-roles/?dialog=assign",
        f"/o/nordhavn/teams/{team.pk}/?dialog=add",
    ):
        assert ANY.findall(client.get(page).content.decode()) == []
