"""What people do on the way to single sign-on, by what is read on the pages."""

from django.contrib.sessions.backends.cached_db import SessionStore
from django.urls import reverse
from playwright.sync_api import Page

from apps.accounts.models import User
from apps.accounts.sessions.services import SIGNED_IN_AT
from apps.organizations.models import Organization
from apps.organizations.teams.services import create_team
from apps.organizations.tokens.secrets import SCIM_PREFIX
from tests.conftest import PASSWORD
from tests.e2e.browser import NARROW, PICTURES, WIDE, Inspector

OWNER, NEWCOMER = "ana@nordhavn.test", "dana@nordhavn.test"
NAMES = {"ana": "Ana Kovač", "dana": "Dana Lindqvist"}


def look(page: Page, name: str) -> None:
    """Hold a page to what every page must stand, and keep two pictures of it."""
    inspector = Inspector(page)
    inspector.look()
    for width, size in (("wide", WIDE), ("narrow", NARROW)):
        page.set_viewport_size(size)
        page.screenshot(path=PICTURES / f"sso-{name}-{width}.png", full_page=True)
    page.set_viewport_size(WIDE)
    assert not inspector.problems, inspector.problems


def begin(page: Page, email: str) -> None:
    page.goto(reverse("account_login"))
    page.get_by_label("Email address").fill(email)
    page.get_by_role("button", name="Continue", exact=True).click()


def with_password(page: Page) -> None:
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def is_in(page: Page, name: str) -> None:
    page.locator(f"[aria-label^='Your account, {name}']").first.wait_for()


def sign_out(page: Page) -> None:
    page.goto(reverse("account_logout"))
    page.locator("main").get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login/**")


def own_the_domain(page: Page, records: dict[str, str]) -> None:
    """Verify the domain; `records` is what the name server answers with."""
    page.goto(reverse("sso:overview", args=["nordhavn"]))
    page.get_by_role("textbox", name="Domain").fill("nordhavn.test")
    page.get_by_role("button", name="Add domain").click()
    page.get_by_role("button", name="Verify").click()
    page.get_by_text("There is no such record yet.").first.wait_for()
    row = page.locator("tr", has_text="_astro-portal.nordhavn.test")
    records["_astro-portal.nordhavn.test"] = row.locator("code").last.inner_text()
    page.get_by_role("button", name="Verify").click()
    page.get_by_text("nordhavn.test is verified.").wait_for()


def begin_connection(page: Page, protocol: str, name: str) -> None:
    """Fill in what connections of both protocols have."""
    page.goto(reverse("sso:new_connection", args=["nordhavn"]))
    page.get_by_label(protocol).check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Default role for new users").select_option("member")


def switch_on(page: Page, name: str) -> None:
    """Switch a connection on, at the end of its test."""
    page.get_by_text("The test succeeded.", exact=True).wait_for()
    assert page.get_by_text(NAMES["ana"]).count() > 0
    page.get_by_role("button", name="Enable").click()
    page.get_by_text(f"{name} is enabled.").first.wait_for()


def map_the_group(page: Page, owner: User) -> None:
    """Let a Team mirror the group data-eng; the page of its connection is open."""
    create_team(actor=owner, organization=Organization.objects.get(), name="Data engineers")
    page.get_by_role("link", name="Groups").click()
    page.get_by_label("Group", exact=True).fill("data-eng")
    page.get_by_label("Team", exact=True).select_option("Data engineers")
    page.get_by_role("button", name="Map group").click()
    page.get_by_role("cell", name="never").wait_for()
    look(page, "groups")


def let_an_hour_pass(page: Page) -> None:
    """Make the sign-in of this browser an hour old."""
    cookie = next(one for one in page.context.cookies() if one["name"] == "sessionid")
    session = SessionStore(cookie["value"])
    session[SIGNED_IN_AT] -= 3600
    session.save()


def make_scim_token(page: Page, name: str) -> str:
    """Make a token for provisioning and return it; it is shown this once."""
    page.goto(reverse("sso:provisioning", args=["nordhavn"]))
    page.get_by_label("Token name").fill(name)
    page.get_by_role("button", name="Create token").click()
    return page.locator("code", has_text=SCIM_PREFIX).inner_text().strip()
