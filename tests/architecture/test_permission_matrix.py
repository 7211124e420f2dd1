"""Who may do what, address by address.

The table is written by hand, in two halves: what each address asks for, and who holds it. The fast
tests compare the first with the stamps of the views, the second with what every visitor holds, and
ask the running views about the edge: those who just get through, and the strongest who do not. The
rest of the product of addresses and visitors is asked among the slow tests.
"""

import logging
from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

import pytest
from django.apps import apps
from django.db import transaction
from django.http import HttpResponseBase
from django.template.backends.django import Template
from django.test import Client
from django.utils.safestring import SafeString

from apps.access.queries import forget_permissions
from apps.access.roles.catalogue import PERMISSIONS, SCOPES
from apps.access.scoped import PermissionMissing
from apps.api.wire import gates
from apps.organizations.audit_log import views as records
from apps.registry import services as sign_ins
from tests.architecture.permission_table import (
    BY_TOKEN,
    CLOSED,
    HOLDERS,
    ORGANIZATION_OWNER,
    OWNER_TOKEN,
    ROLES,
    TABLE,
    Row,
)
from tests.architecture.stage import Stage
from tests.architecture.test_view_guard import WITHOUT_STAMP
from tests.architecture.urls import Address, addresses

METHODS = ("GET", "POST")
SCOPED_MODELS = [model for model in apps.get_models() if hasattr(model, "access_paths")]
IN_TABLE = [address for address in addresses() if address.name in TABLE]
# From above, on the object itself, through a Team, by a custom role, by a token, and not at all.
EACH_WAY = (
    "organization owner",
    "workspace operator",
    "deployment viewer",
    "operator by team",
    "custom deployer",
    "deployment token",
    "outsider",
    "disabled",
)
# They hold what another visitor holds, or nothing, as the tests in this process say of each.
ALIKE = {"operator by team", "disabled"}
# On a page a token is no one, whatever it may do elsewhere.
OTHER_TOKENS = BY_TOKEN - {"organization token"}
APPS = sorted({address.app for address in IN_TABLE})


def test_every_address_has_a_row():
    found = {address.name for address in addresses()} - WITHOUT_STAMP.keys() - CLOSED

    missing, stale = sorted(found - TABLE.keys()), sorted(TABLE.keys() - found)

    assert not missing, f"Add a row to TABLE, saying who gets through, for: {', '.join(missing)}"
    assert not stale, f"Take the rows out of TABLE, the addresses are gone: {', '.join(stale)}"


@pytest.mark.parametrize("address", IN_TABLE, ids=lambda address: address.name)
def test_every_view_asks_for_what_its_row_says(address: Address):
    row = TABLE[address.name]
    scope, permission, writing = address.stamp or ("", "", "")

    if row.get is not None:
        assert (permission or scope) == row.get_gate
    if row.post is not None:
        assert (writing or permission or scope) == row.post_gate
    if row.get is None or row.post is None:
        assert writing == "", "a permission for a method that the row does not have"


def test_every_permission_has_its_holders():
    assert HOLDERS.keys() == PERMISSIONS.keys()


@pytest.mark.parametrize("scope", SCOPES)
def test_each_visitor_holds_what_the_table_says(stage: Stage, scope: str):
    wrong = []
    for place, on in _places(stage, scope).items():
        for visitor, user in stage.users.items():
            forget_permissions(user)
            for permission in _of_scope(scope):
                wanted = visitor in _holders(permission, place)
                if user.has_perm(permission, on) != wanted:
                    wrong.append(f"{visitor}: {permission} {place}, not {wanted}")

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_lists_by_permission_hold_what_the_table_says(stage: Stage, permission: str):
    places = _places(stage, permission.partition(".")[0])
    for visitor in EACH_WAY:
        listed = type(places["here"]).objects.allowing(stage.users[visitor], permission)

        wanted = {on for place, on in places.items() if visitor in _holders(permission, place)}
        assert set(listed) == wanted, visitor


@pytest.mark.parametrize("model", SCOPED_MODELS, ids=lambda model: model.__name__)
def test_each_visitor_sees_in_lists_what_the_table_says(stage: Stage, model: Any):
    permission = f"{model.access_scope}.view"
    at = {place: _rows_at(model, on) for place, on in _places(stage, model.access_scope).items()}
    wrong = []
    for visitor, user in stage.users.items():
        seen = set(model.objects.visible_to(user).values_list("pk", flat=True))
        wanted = {pk for place in at if visitor in _holders(permission, place) for pk in at[place]}
        if seen != wanted:
            wrong.append(f"{visitor} sees {seen}, not {wanted}")

    assert not wrong, "\n".join(wrong)
    assert all(at.values()), f"put a {model.__name__} on the stage: {at}"
    assert set.union(*at.values()) == set(model.objects.values_list("pk", flat=True))


def _of_scope(scope: str) -> list[str]:
    return [permission for permission in PERMISSIONS if permission.startswith(f"{scope}.")]


def _places(stage: Stage, scope: str) -> dict[str, Any]:
    found = {"here": stage.places[scope], "elsewhere": stage.elsewhere[scope]}
    if scope in stage.siblings:
        found["beside"] = stage.siblings[scope]
    return found


def _holders(permission: str, place: str) -> frozenset[str]:
    beside = ORGANIZATION_OWNER | OWNER_TOKEN
    return {"here": HOLDERS[permission], "beside": beside, "elsewhere": frozenset({"outsider"})}[
        place
    ]


def _rows_at(model: Any, on: Any) -> set[int]:
    path = model.access_paths[type(on).access_scope]
    return set(model.objects.filter(**{path or "pk": on.pk}).values_list("pk", flat=True))


def outcome(response: HttpResponseBase) -> str:
    if response.streaming:
        b"".join(response.streaming_content)
    if response.status_code == 302 and response["Location"].startswith("/accounts/login/?"):
        return "sign in"
    words = {403: "refused", 404: "nothing", 405: "no such method"}
    if response.status_code == 401:
        return "sign in"
    if response.status_code >= 500 and response.status_code != 503:
        return f"broken ({response.status_code})"
    return words.get(response.status_code, "through")


def expected(row: Row, method: str, visitor: str) -> set[str]:
    allowed = row.get if method == "GET" else row.post
    if allowed is None:
        # Whether the gate or the method speaks first does not matter: nothing gets through.
        return {"sign in", "refused", "nothing", "no such method"}
    if visitor in allowed:
        return {"through"}
    if row.is_by_token or visitor in {"anonymous", "disabled"} | BY_TOKEN:
        return {"sign in"}
    return {"refused"} if visitor in row.seen_by else {"nothing"}


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Answer without pages and without a trace per refusal: there are two thousand answers."""
    monkeypatch.setattr(Template, "render", lambda self, context=None, request=None: SafeString(""))
    monkeypatch.setattr(PermissionMissing, "denial", lambda self: None)
    monkeypatch.setattr(gates, "BAD_TOKENS", 1_000_000)
    monkeypatch.setattr(sign_ins, "BAD_SIGN_INS", 1_000_000)
    # It reads in a transaction of its own, and here is one around each request.
    monkeypatch.setattr(records, "verify_all", lambda organization_id: [])
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("app", APPS)
def test_every_view_lets_through_whom_the_table_says(stage: Stage, app: str, method: str):
    """Ask about the edge: with the tests above, whoever stands between does not matter."""
    asked = [address for address in IN_TABLE if address.app == app]

    assert not list(_wrong(stage, asked, method, edge))


@pytest.mark.slow
@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("method", METHODS)
def test_every_view_lets_through_whom_the_table_says_of_all_others(stage: Stage, method: str):
    def others(row: Row, method: str) -> set[str]:
        # A method that a view does not have is refused whoever asks.
        asked = set() if row.allowed(method) is None else stage.visitors.keys() - ALIKE
        return asked - edge(row, method) - (set() if row.is_by_token else OTHER_TOKENS)

    assert not list(_wrong(stage, IN_TABLE, method, others))


def _wrong(stage: Stage, asked: list[Address], method: str, whom: Any) -> Iterator[str]:
    for address in asked:
        row = TABLE[address.name]
        path = stage.path(address.name, address.route)
        for visitor in whom(row, method):
            body = stage.bodies.get(address.name, "")
            found = ask(stage.visitors[visitor], method, path, body)
            if found not in expected(row, method, visitor):
                wanted = " or ".join(sorted(expected(row, method, visitor)))
                yield f"{method} {path} as {visitor}: {found}, not {wanted}"


def edge(row: Row, method: str) -> set[str]:
    """Name those who just get through and those who just do not: the weakest who is let in, the
    strongest who is refused, the strongest of the organization who finds nothing, a stranger, and
    nobody at all.
    """
    allowed = row.allowed(method)
    if allowed is None:
        return {"anonymous", _strongest(ROLES)}
    chosen = {"anonymous", "outsider"} | (BY_TOKEN if row.is_by_token else set())
    if allowed:
        chosen.add(min(sorted(allowed), key=_strength))
    chosen.update(_strongest(who) for who in (row.seen_by - allowed, ROLES - row.seen_by - allowed))
    return chosen - {""}


def _strongest(who: Iterable[str]) -> str:
    return max(sorted(who), key=_strength, default="")


def _strength(visitor: str) -> int:
    return sum(visitor in holders for holders in HOLDERS.values())


def ask(client: Client, method: str, path: str, body: str) -> str:
    """Send one request and undo what it did."""
    if method == "GET":
        return outcome(client.get(path))
    cookies = copy(client.cookies)
    with transaction.atomic():
        response = client.generic(method, path, body, "application/x-www-form-urlencoded")
        transaction.set_rollback(True)
    client.cookies = cookies  # a link that signs its holder in gave other ones
    return outcome(response)
