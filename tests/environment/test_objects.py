"""What objects hold, whom they reach, and what is never read again."""

import json

import pytest

from apps.audit.models import AuditEvent
from apps.core.errors import Invalid
from apps.deployments.models import Deployment
from apps.deployments.reconciling.compiler import compile_spec
from apps.deployments.secrets import sealed
from apps.deploys.models import Preview
from apps.deploys.previews.queries import _missing
from apps.environment.delivery.effective import effective_objects, values_of
from apps.environment.objects.connection_types import connection_types, type_called
from apps.environment.objects.models import EnvironmentLink
from apps.environment.objects.services import (
    ObjectData,
    delete_object,
    override_object,
    update_object,
)
from apps.environment.objects.values import checked_name, checked_value, parted
from tests.environment.examples import POSTGRES, make_object

pytestmark = pytest.mark.django_db
NAMED = (("connection", "warehouse"), ("variable", "batch"))
# Quotes, line breaks, other scripts, what shells and templates act upon, and what is beyond UCS-2.
EVERYTHING = "'\"\\ \t\r\n${HOME} {{ x }} %(a)s \x01\x7f é 字 \u2028 🛰"


def document(deployment):
    return json.loads(values_of(deployment).document or "{}")


def test_a_workspace_value_reaches_who_is_linked_and_a_deployments_own_wins(
    workspace, make_deployment, alice
):
    prod, dev, new = (make_deployment(name=name) for name in ("prod", "dev", "new"))
    make_object(workspace, alice, name="all")
    make_object(workspace, alice, name="some", links_all=False, linked=frozenset({prod.pk}))
    make_object(workspace, alice, name="none", links_all=False)
    make_object(
        workspace, alice, name="but-dev", links_all=True, linked=frozenset({prod.pk, new.pk})
    )
    make_object(dev, alice, name="all", value=POSTGRES | {"host": "dev.example.org"})

    assert set(document(prod)["connections"]) == {"all", "some", "but-dev"}
    assert set(document(dev)["connections"]) == {"all"}
    assert set(document(new)["connections"]) == {"all", "but-dev"}
    assert document(dev)["connections"]["all"]["host"] == "dev.example.org"
    assert document(prod)["connections"]["all"] == {
        "conn_type": "postgres",
        "host": "db.example.org",
        "login": "etl",
        "password": "p4ss",
    }


def test_a_link_overrides_single_fields(workspace, make_deployment, alice):
    prod, dev = make_deployment(), make_deployment()
    found = make_object(
        workspace, alice, value=POSTGRES | {"extra": {"sslmode": "require", "a": 1}}
    )
    value = {"host": "dev.example.org", "extra": {"sslmode": "disable"}}

    override_object(actor=alice, found=found, deployment=dev, value=value)

    ours, theirs = (document(one)["connections"]["warehouse"] for one in (dev, prod))
    assert ours["host"] == "dev.example.org"
    assert ours["password"] == "p4ss"
    assert ours["extra"] == {"sslmode": "disable", "a": 1}
    assert theirs["host"] == "db.example.org"
    assert theirs["extra"]["sslmode"] == "require"
    link = EnvironmentLink.objects.get(deployment=dev)
    assert link.overrides
    assert link.set_fields == ["extra.sslmode", "host"]


def test_any_text_comes_out_as_it_went_in(workspace, deployment, alice):
    make_object(workspace, alice, "variable", "x", value={"value": EVERYTHING}, is_secret=True)
    make_object(workspace, alice, value=POSTGRES | {"password": EVERYTHING})

    found = document(deployment)

    assert found["variables"]["x"] == EVERYTHING
    assert found["connections"]["warehouse"]["password"] == EVERYTHING


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("variable", {"value": "a\0b"}, "NUL"),
        ("connection", {"type": "http", "extra": {"a": "\0"}}, "NUL"),
        ("variable", {"value": "\ud800"}, "half a character"),
        ("variable", {"value": "x" * 100_001}, "100,000 bytes"),
        ("connection", {"type": "http", "port": "ssh"}, "1 to 65535"),
        ("connection", {"type": "http", "extra": [1]}, "JSON object"),
        ("connection", {"type": "http", "uri": "x"}, "no field 'uri'"),
    ],
)
def test_what_no_program_could_use_is_refused_with_a_sentence(kind, value, said):
    with pytest.raises(Invalid, match=said):
        checked_value(kind, value)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("connection", ""),
        ("connection", "a b"),
        ("connection", "portal_logs"),
        ("variable", "a\nb"),
        ("environment", "AIRFLOW__CORE__FERNET_KEY"),
        ("environment", "LD_PRELOAD"),
    ],
)
def test_names_that_would_not_work_are_refused(kind, name):
    with pytest.raises(Invalid):
        checked_name(kind, name)


def test_only_declared_fields_that_are_no_secrets_are_shown():
    value = {"type": "smtp", "host": "h", "password": "p"}
    value["extra"] = {"timeout": 5, "client_secret": "s", "anything": {"deep": "er"}}

    plain, secret = parted(
        "connection", value, is_secret=False, shown_extra=type_called("smtp").shown_extra
    )

    assert plain == {"type": "smtp", "host": "h", "extra": {"timeout": 5}}
    assert secret == {"password": "p", "extra": {"client_secret": "s", "anything": {"deep": "er"}}}


def test_types_are_those_of_the_runtimes():
    known = {one.key: one for one in connection_types()}

    assert {"postgres", "smtp"} <= known.keys()
    assert next(one for one in known["postgres"].standard if one.name == "schema").label
    assert type_called("snowflake").standard[0].name == "host"


def test_an_edit_keeps_secrets_that_were_not_typed(workspace, deployment, alice):
    found = make_object(workspace, alice, value=POSTGRES | {"extra": {"token": "t", "u": "v"}})
    data = ObjectData(name="warehouse", value={"type": "postgres", "host": "b"}, links_all=True)

    update_object(actor=alice, found=found, data=data)
    kept = document(deployment)["connections"]["warehouse"]
    data = ObjectData(
        name="warehouse",
        value={"type": "http", "host": "b"},
        links_all=True,
        forgotten=frozenset({"password"}),
    )
    update_object(actor=alice, found=found, data=data)
    other = document(deployment)["connections"]["warehouse"]

    assert (kept["host"], kept["password"], kept["extra"]) == (
        "b",
        "p4ss",
        {"token": "t", "u": "v"},
    )
    # Extra fields of one type are not given to another.
    assert other == {"conn_type": "http", "host": "b"}


def test_a_stored_secret_does_not_become_a_value_that_is_shown(workspace, alice):
    found = make_object(workspace, alice, "variable", "x", is_secret=True)

    with pytest.raises(Invalid, match="never shown"):
        update_object(
            actor=alice, found=found, data=ObjectData(name="x", value={}, is_secret=False)
        )


def test_a_change_makes_those_it_reaches_due_and_restarts_none(
    workspace, make_deployment, alice, plane
):
    reached, other = make_deployment(), make_deployment()
    Deployment.objects.update(next_reconcile_at=None)

    found = make_object(workspace, alice, links_all=False, linked=frozenset({reached.pk}))
    reached.refresh_from_db()
    other.refresh_from_db()
    versions = (reached.environment_version, other.environment_version)
    delete_object(actor=alice, found=found)
    reached.refresh_from_db()

    assert versions == (1, 0)
    assert other.next_reconcile_at is None
    assert reached.environment_version == 2
    assert reached.next_reconcile_at


def test_environment_variables_join_those_of_the_revision_which_win(
    workspace, make_deployment, alice, settings
):
    settings.AIRFLOW_SIGN_IN_PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----"
    config = {"variables": [{"key": "MINE", "value": "mine", "secret_id": ""}]}
    deployment = make_deployment(config=config)
    deployment.airflow_secrets = sealed.new_airflow_secrets(deployment_id=deployment.pk)
    deployment.save()
    make_object(workspace, alice, "environment", "MINE")
    make_object(workspace, alice, "environment", "SHARED", is_secret=True)

    spec = compile_spec(deployment=deployment, revision=deployment.wanted)

    found = {one.key: (one.value, one.is_secret) for one in spec.variables}
    assert found == {"MINE": ("mine", False), "SHARED": ("one", True)}
    assert spec.environment == ""
    assert "value=" not in repr(spec)


def test_the_audit_log_has_names_and_never_values(workspace, deployment, alice):
    found = make_object(workspace, alice, value=POSTGRES | {"extra": {"token": "t0ken"}})
    data = ObjectData(
        name="warehouse", value=POSTGRES | {"host": "other.example.org", "password": "n3w"}
    )

    update_object(actor=alice, found=found, data=data)
    delete_object(actor=alice, found=found)

    events = list(
        AuditEvent.objects.filter(action__startswith="environment_object.").order_by("pk")
    )
    text = json.dumps([event.changes for event in events])
    assert [event.action.split(".")[1] for event in events] == ["created", "updated", "deleted"]
    assert events[1].changes["replaced"] == [None, "password"]
    assert not any(value in text for value in ("p4ss", "n3w", "t0ken", "example.org"))


def test_one_name_exists_once_in_a_place(workspace, deployment, alice):
    make_object(workspace, alice)
    make_object(deployment, alice)

    with pytest.raises(Invalid, match="already"):
        make_object(workspace, alice)
    assert [one.is_own for one in effective_objects(deployment)] == [True]


def test_what_is_shared_is_not_missing_in_the_preview_of_a_deploy(workspace, deployment, alice):
    make_object(workspace, alice)
    make_object(workspace, alice, "variable", "batch", links_all=False)
    names = [[kind, name, "a.py", 1, False] for kind, name in NAMED]
    preview = Preview(deployment=deployment, names=names)

    missing = _missing(preview)

    assert [(one.kind, one.name) for one in missing] == [("Airflow variable", "batch")]
