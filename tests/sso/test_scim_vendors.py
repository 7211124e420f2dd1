"""What Entra and Okta document that they send, and what their jobs were seen to send besides.

Entra: "Develop and plan provisioning for a SCIM endpoint", "Known issues and resolutions with SCIM
2.0 protocol compliance". Okta: the SCIM 2.0 reference.
"""

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.organizations.models import Team
from apps.sso.models import ScimRecord
from tests.sso.provisioning import ENTERPRISE, GROUP, USER, patch, person

pytestmark = pytest.mark.django_db
AD_USER = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/User"
AD_GROUP = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"


@pytest.fixture
def dana(scim: Callable[..., Any]) -> str:
    return f"Users/{scim('POST', 'Users', person()).json()['id']}"


@pytest.fixture
def ids(scim: Callable[..., Any]) -> list[str]:
    names = ("dana", "erik", "fay")
    return [scim("POST", "Users", person(one)).json()["id"] for one in names]


@pytest.fixture
def group(scim: Callable[..., Any], ids: list[str]) -> str:
    members = [{"value": one} for one in ids]
    body = {"schemas": [GROUP], "displayName": "Data", "members": members}
    return f"Groups/{scim('POST', 'Groups', body).json()['id']}"


def names_in_team() -> list[str]:
    people = Team.objects.get().group.user_set.order_by("email")
    return [one.email.partition("@")[0] for one in people]


def account() -> User:
    return User.objects.get(pk=ScimRecord.objects.get().user_id)


@pytest.mark.parametrize("op", ["Remove", "remove"])
@pytest.mark.parametrize(
    "shape",
    [
        lambda one: [{"value": one}],
        lambda one: [{"$ref": None, "value": one}],
        lambda one: [{"value": one, "display": "Erik", "type": "User"}],
        lambda one: {"value": one},
        lambda one: [one],
        lambda one: one,
    ],
    ids=["documented", "with an empty reference", "described", "alone", "texts", "text"],
)
def test_members_are_removed_by_a_list_of_values(
    scim: Callable[..., Any], ids: list[str], group: str, op: str, shape: Callable[[str], Any]
) -> None:
    response = scim("PATCH", group, patch({"op": op, "path": "members", "value": shape(ids[1])}))

    assert response.status_code == 204, response.content
    assert names_in_team() == ["dana", "fay"]


def test_several_members_are_removed_at_once_and_unknown_ones_ignored(
    scim: Callable[..., Any], ids: list[str], group: str
) -> None:
    gone = [{"value": ids[0]}, {"value": ids[2]}, {"value": "0" * 32}]

    scim("PATCH", group, patch({"op": "Remove", "path": "members", "value": gone}))

    assert names_in_team() == ["erik"]


@pytest.mark.parametrize("value", [[], [{}], [{"display": "Erik"}], [{"value": None}]])
def test_a_removal_that_names_no_member_removes_none(
    scim: Callable[..., Any], group: str, value: Any
) -> None:
    scim("PATCH", group, patch({"op": "Remove", "path": "members", "value": value}))

    assert names_in_team() == ["dana", "erik", "fay"]


def test_a_thousand_members_leave_in_one_request(
    scim: Callable[..., Any], ids: list[str], group: str
) -> None:
    many = [{"value": f"{number:032x}"} for number in range(1000)]

    gone = [*many, {"value": ids[0]}]
    response = scim("PATCH", group, patch({"op": "Remove", "path": "members", "value": gone}))

    assert response.status_code == 204, response.content[:200]
    assert names_in_team() == ["erik", "fay"]


@pytest.mark.parametrize("schemas", [[GROUP, AD_GROUP], [AD_GROUP]])
def test_groups_come_with_a_schema_of_active_directory(
    scim: Callable[..., Any], ids: list[str], schemas: list[str]
) -> None:
    body = {"schemas": schemas, "externalId": "8aa1a0c0", "displayName": "Data"}

    made = scim("POST", "Groups", body | {"meta": {"resourceType": "Group"}})

    assert made.status_code == 201, made.content
    assert made.json()["schemas"] == [GROUP]
    add = {"op": "Add", "path": "members", "value": [{"$ref": None, "value": ids[0]}]}
    assert scim("PATCH", f"Groups/{made.json()['id']}", patch(add)).status_code == 204
    assert names_in_team() == ["dana"]


def test_a_person_as_entra_creates_one(scim: Callable[..., Any]) -> None:
    body = {
        "schemas": [USER, ENTERPRISE, AD_USER],
        "externalId": "58342554-38d6-4ec8-948c-50044d0a33fd",
        "userName": "dana@nordhavn.test",
        "active": "True",
        "addresses": None,
        "displayName": "Dana Berg",
        "emails": [{"type": "work", "value": "dana@nordhavn.test", "primary": "true"}],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "Dana Berg", "familyName": "Berg", "givenName": "Dana"},
        "phoneNumbers": None,
        "roles": [],
        "title": None,
        ENTERPRISE: {"department": "Data", "manager": "26118915-6090-4610-87e4-49d8ca9f808d"},
    }

    made = scim("POST", "Users", body)

    assert made.status_code == 201, made.content
    assert account().is_active
    assert made.json()["active"] is True
    assert made.json()["emails"] == [
        {"type": "work", "value": "dana@nordhavn.test", "primary": True}
    ]


@pytest.mark.parametrize("value", [False, "False", "false", [{"value": "False"}]])
@pytest.mark.parametrize("path", ["active", f"{USER}:active", "Active"])
def test_a_person_is_deactivated_by_a_truth_value_of_any_kind(
    scim: Callable[..., Any], dana: str, value: Any, path: str
) -> None:
    response = scim("PATCH", dana, patch({"op": "Replace", "path": path, "value": value}))

    assert response.status_code == 204, response.content
    assert not account().is_active


@pytest.mark.parametrize(
    "neighbour",
    [
        {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": "26118915"},
        {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": [{"$ref": None, "value": "2"}]},
        {"op": "Add", "path": 'roles[primary eq "True"].value', "value": "Admin"},
        {"op": "Add", "path": "roles", "value": [{"value": '{"id": "1"}'}]},
        {"op": "Add", "path": 'addresses[type eq "work"].formatted', "value": "Quay 1"},
        {"op": "Replace", "path": 'phoneNumbers[type eq "mobile"].value', "value": "+45"},
        {"op": "Add", "path": 'emails[type eq "work"].display', "value": "Dana"},
        {"op": "Replace", "path": "emails", "value": [{"value": "not an address"}]},
        {"op": "Replace", "path": "userName", "value": None},
        {"op": "Add", "path": 'emails[type eq "home" or value pr].value', "value": "x@y.z"},
        {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:Our:2.0:User:x", "value": 1},
        {"op": "Add", "path": "nothing[[", "value": 1},
        {"op": "Move", "path": "displayName", "value": "Dana"},
        {"op": "Replace", "path": "id", "value": "4"},
        {"op": "Add", "path": 7, "value": 1},
        {"op": "Replace", "path": "displayName", "value": {"deeply": ["nested"]}},
        "no operation",
        {},
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_an_operation_that_is_not_understood_takes_no_other_with_it(
    scim: Callable[..., Any], dana: str, neighbour: Any, is_first: bool
) -> None:
    off = {"op": "Replace", "path": "active", "value": "False"}
    both = [neighbour, off] if is_first else [off, neighbour]

    response = scim("PATCH", dana, patch(*both))

    assert response.status_code == 204, response.content
    assert not account().is_active


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "Replace", "path": "active", "value": "perhaps"},
        {"op": "Replace", "path": "active", "value": ["a", "b"]},
    ],
)
def test_an_operation_about_access_that_is_not_understood_is_refused_aloud(
    scim: Callable[..., Any], dana: str, operation: Any
) -> None:
    name = {"op": "Replace", "path": "displayName", "value": "Dana B."}

    response = scim("PATCH", dana, patch(name, operation))

    assert response.status_code == 400, response.content
    assert account().name == "Dana Berg"


def test_operations_about_other_attributes_alone_change_nothing(
    scim: Callable[..., Any], dana: str
) -> None:
    before = scim("GET", dana).json()

    response = scim("PATCH", dana, patch({"op": "Add", "path": "nickName", "value": "Dan"}))

    assert response.status_code == 204, response.content
    assert scim("GET", dana).json() == before


def test_an_address_is_added_to_a_filter_without_a_match(scim: Callable[..., Any]) -> None:
    body = person()
    del body["emails"]
    path = f"Users/{scim('POST', 'Users', body).json()['id']}"
    changes = patch(
        {"op": "Add", "path": 'emails[type eq "work"].value', "value": "dana2@nordhavn.test"},
        {"op": "Replace", "path": "displayName", "value": "Dana B."},
    )

    assert scim("PATCH", path, changes).status_code == 204

    assert (account().email, account().name) == ("dana2@nordhavn.test", "Dana B.")


def test_a_primary_address_is_found_by_a_text(scim: Callable[..., Any], dana: str) -> None:
    path = 'emails[primary eq "True"].value'

    scim("PATCH", dana, patch({"op": "Replace", "path": path, "value": "dana2@nordhavn.test"}))

    assert account().email == "dana2@nordhavn.test"
    assert len(ScimRecord.objects.get().document["emails"]) == 1


def test_paths_come_as_keys(scim: Callable[..., Any], dana: str) -> None:
    value = {
        "displayName": "Dana Berg-Holm",
        "name.familyName": "Berg-Holm",
        'emails[type eq "work"].value': "dana2@nordhavn.test",
        'emails[type eq "work"].primary': "True",
        f"{ENTERPRISE}:department": "Data",
        ENTERPRISE: {"manager": "2"},
        'roles[primary eq "True"].value': "Admin",
    }

    response = scim("PATCH", dana, patch({"op": "Replace", "value": value}))

    assert response.status_code == 204, response.content
    document = ScimRecord.objects.get().document
    assert document["name"] == {"givenName": "Dana", "familyName": "Berg-Holm"}
    assert account().name == "Dana Berg-Holm"
    assert account().email == "dana2@nordhavn.test"


def test_okta_deactivates_without_a_path(scim: Callable[..., Any], dana: str) -> None:
    scim("PATCH", dana, patch({"op": "replace", "value": {"active": False}}))

    assert not account().is_active


def test_okta_replaces_a_person_with_groups_and_a_password(
    scim: Callable[..., Any], dana: str
) -> None:
    body = person(
        active=False,
        id=dana.removeprefix("Users/"),
        locale="en-US",
        groups=[],
        password="1mz050nq",
        meta={"resourceType": "User"},
    )

    assert scim("PUT", dana, body).status_code == 200

    assert not account().is_active
    assert "1mz050nq" not in str(ScimRecord.objects.get().document)


def test_okta_renames_a_group_with_its_id(scim: Callable[..., Any], group: str) -> None:
    value = {"id": group.removeprefix("Groups/"), "displayName": "Data science"}

    response = scim("PATCH", group, patch({"op": "replace", "value": value}))

    assert response.status_code == 204, response.content
    assert Team.objects.get().name == "Data science"


def test_okta_adds_removes_and_replaces_members(
    scim: Callable[..., Any], ids: list[str], group: str
) -> None:
    changes = patch(
        {"op": "remove", "path": f'members[value eq "{ids[0]}"]'},
        {"op": "remove", "path": f'members[value eq "{ids[1]}"]'},
        {"op": "add", "path": "members", "value": [{"value": ids[1], "display": "erik"}]},
    )
    assert scim("PATCH", group, changes).status_code == 204
    assert names_in_team() == ["erik", "fay"]

    all_new = {"op": "replace", "path": "members", "value": [{"value": ids[0], "display": "dana"}]}
    assert scim("PATCH", group, patch(all_new)).status_code == 204
    assert names_in_team() == ["dana"]


def test_the_same_shapes_come_in_bulk(scim: Callable[..., Any], ids: list[str], group: str) -> None:
    remove = {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": ids[1]}]}
    steps = [
        {"method": "PATCH", "path": f"/{group}", "data": patch(remove)},
        {
            "method": "POST",
            "path": "/Users",
            "bulkId": "g",
            "data": person("gina", password="hunter2", active="False"),
        },
    ]
    schemas = ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]

    response = scim("POST", "Bulk", {"schemas": schemas, "Operations": steps})

    assert response.status_code == 200, response.content
    assert names_in_team() == ["dana", "fay"]
    assert not User.objects.get(email="gina@nordhavn.test").is_active
    assert "hunter2" not in str(list(ScimRecord.objects.values("document")))
