"""Connections and variables from files of elsewhere."""

import json

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from apps.core.errors import Invalid
from apps.environment.importing.exporting import settings_file
from apps.environment.importing.formats import MOST_ENTRIES, entries_of
from apps.environment.importing.parsing import decoded
from apps.environment.importing.services import import_objects, preview
from apps.environment.importing.uris import connection_of
from apps.environment.objects.models import EnvironmentObject
from apps.environment.objects.sealing import whole
from tests.core.pages import check_page
from tests.deployments.pages import text_of
from tests.environment.examples import make_object

pytestmark = pytest.mark.django_db
SECRET = "hush-hush-value"
SETTINGS = f"""
airflow:
  connections:
    - conn_id: warehouse
      conn_type: postgres
      conn_host: db.example.org
      conn_schema:
      conn_login: etl
      conn_password: "{SECRET}"
      conn_port: 5432
      conn_extra:
        sslmode: require
        keepalives: 1
        private_key: abc
    - conn_id:
      conn_type:
  pools:
    - pool_name: p
  variables:
    - variable_name: since
      variable_value: 2026-01-01
    - variable_name: flag
      variable_value: yes
"""


def read(text, **other):
    return {(one.kind, one.name): one.value for one in entries_of(text, **other)}


def test_an_airflow_settings_yaml_is_read_as_it_was_typed():
    found = read(SETTINGS)

    assert found["connection", "warehouse"] == {
        "type": "postgres",
        "host": "db.example.org",
        "login": "etl",
        "password": SECRET,
        "port": "5432",
        "extra": {"sslmode": "require", "keepalives": 1, "private_key": "abc"},
    }
    assert found["variable", "since"] == {"value": "2026-01-01"}
    assert found["variable", "flag"] == {"value": "yes"}
    assert len(found) == 3


def test_what_airflow_exports_is_read_in_each_of_its_formats():
    fields = {
        "conn_type": "http",
        "description": None,
        "host": "h",
        "port": 80,
        "extra": '{"a": 1}',
    }
    wanted = {"type": "http", "host": "h", "port": "80", "extra": {"a": 1}}

    assert read(json.dumps({"api": fields})) == {("connection", "api"): wanted}
    assert read(yaml.safe_dump({"api": fields})) == {("connection", "api"): wanted}
    as_uri = read(json.dumps({"api": "http://h:80/?a=1"}), means="connection")
    assert as_uri["connection", "api"] == {
        "type": "http",
        "host": "h",
        "port": 80,
        "extra": {"a": "1"},
    }
    assert read("api=http://h:80/?a=1\n", means="connection") == as_uri
    variables = {"a": "x", "b": {"k": [1]}, "c": 5, "d": {"value": "v", "description": "why"}}
    found = read(json.dumps(variables))
    assert [one["value"] for one in found.values()] == ["x", '{"k": [1]}', "5", "v"]


def test_a_dotenv_file_is_read_with_quotes_and_several_lines():
    text = (
        '# comment\nexport A = plain # tail\nB=\'it # stays $X\'\nC="two\\nlines \\"q\\""\n'
        "D=\"first\nsecond\"\nE=\nAIRFLOW_CONN_MY_DB='postgres://u:p%40ss@h/db'\n"
        "AIRFLOW_VAR_KEY=v\n"
    )

    found = read(text)

    assert found["environment", "A"] == {"value": "plain"}
    assert found["environment", "B"] == {"value": "it # stays $X"}
    assert found["environment", "C"] == {"value": 'two\nlines "q"'}
    assert found["environment", "D"] == {"value": "first\nsecond"}
    assert found["environment", "E"] == {"value": ""}
    assert found["connection", "my_db"]["password"] == "p@ss"
    assert found["variable", "key"] == {"value": "v"}


@pytest.mark.parametrize(
    ("uri", "fields"),
    [
        (
            "postgresql://us%2Fer:p%40s%3As@db:5432/my%2Fdb?sslmode=require",
            {
                "type": "postgres",
                "login": "us/er",
                "password": "p@s:s",
                "host": "db",
                "port": 5432,
                "schema": "my/db",
                "extra": {"sslmode": "require"},
            },
        ),
        ("my-type://", {"type": "my_type"}),
        ("aws://?__extra__=%7B%22a%22%3A+1%7D", {"type": "aws", "extra": {"a": 1}}),
        ("http://https://h:8/x", {"type": "http", "host": "https://h", "port": 8, "schema": "x"}),
        ("postgres://%2Fvar%2Frun/db", {"type": "postgres", "host": "/var/run", "schema": "db"}),
        (
            "mysql://u:%F0%9F%94%91@h",
            {"type": "mysql", "login": "u", "password": "🔑", "host": "h"},
        ),
    ],
)
def test_an_address_is_read_as_airflow_reads_it(uri, fields):
    assert connection_of(uri) == fields


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Paste a text"),
        ("a: &x [1]\nb: *x", "References"),
        ("a: 1\na: 2", "gives one name twice"),
        ('{"a": 1, "a": 2}', "gives one name twice"),
        ("A=1\nA=2", "a second time"),
        ("A='no end", "does not end"),
        ("A='x' y", "goes on after its quote"),
        ("A=1\nno equals", "Line 2 is not NAME=value"),
        ("- one\n- two", "Expected names with values"),
        ("{" + '"a":{' * 3000 + "}" * 3000, "nested too deeply"),
        ('{"a": ' + "[" * 5000 + "]" * 5000 + "}", "nested too deeply"),
        ('{"a": ' + "[" * 30 + "]" * 30 + "}", "nested too deeply"),
        ("a: " + "[" * 30 + "]" * 30, "too deep or too large"),
        ('{"a": ' + "9" * 5000 + "}", "number in the JSON is too long"),
        ("a: [1", "not YAML (line"),
        ("a\0b", "NUL"),
        ("airflow:\n  connections:\n", "no connection and no variable"),
        ("\n".join(f"A{n}=1" for n in range(MOST_ENTRIES + 1)), "at most 300"),
        ("A=1\nAIRFLOW_VAR_X=1\nAIRFLOW_VAR_x=2", "there twice"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_with_a_sentence(text, words):
    with pytest.raises(Invalid, match="(?s).*") as refused:
        entries_of(text)

    assert words in refused.value.message
    assert refused.value.field == "text"


def test_a_tag_runs_nothing_and_a_file_is_small_and_utf_8():
    tagged = "a: !!python/object/apply:os.system ['touch /tmp/no']\nb: !secret x"
    assert read(tagged)["variable", "b"] == {"value": "x"}
    for data, words in ((b"\xff\xfe", "UTF-8"), (b"x" * 1_000_001, "larger than 1 MB")):
        with pytest.raises(Invalid, match=words):
            decoded(data)
    assert decoded(b"\xef\xbb\xbfA=1") == "A=1"


def test_a_preview_says_what_is_new_changed_the_same_and_refused(workspace, alice):
    make_object(workspace, alice, "variable", "same", value={"value": "1"}, is_secret=True)
    make_object(workspace, alice, "variable", "other", value={"value": "1"})
    text = json.dumps(
        {
            "same": "1",
            "other": "2",
            "fresh": "3",
            "c": {"conn_type": "http", "port": 99999},
            "portal_x": {"conn_type": "http"},
            "bad uri": {"uri": "nothing"},
        }
    )

    found = {one.entry.name: one for one in preview(place=workspace, entries=entries_of(text))}

    assert {name: one.what for name, one in found.items()} == {
        "same": "same",
        "other": "changed",
        "fresh": "new",
        "c": "refused",
        "portal_x": "refused",
        "bad uri": "refused",
    }
    assert found["c"].reason == "A port is a number from 1 to 65535."
    assert "not an address" in found["bad uri"].reason


def test_an_import_replaces_what_is_there_and_is_all_or_nothing(workspace, alice, deployment):
    old = make_object(
        workspace, alice, value={"type": "http", "password": "p", "extra": {"t": "x"}}
    )
    text = json.dumps({"warehouse": {"conn_type": "http", "host": "new"}, "v": "1", "w": "2"})
    entries = entries_of(text)

    with pytest.raises(Invalid, match="Tick at least one"):
        import_objects(actor=alice, place=workspace, entries=entries, chosen=["variable:none"])
    count = import_objects(
        actor=alice,
        place=workspace,
        entries=entries,
        chosen=["connection:warehouse", "variable:v"],
        links_all=True,
    )

    assert count == 2
    old.refresh_from_db()
    assert whole(old) == {"type": "http", "host": "new"}
    assert old.links_all
    (new,) = EnvironmentObject.objects.filter(kind="variable")
    assert (new.name, new.is_secret, new.links_all, new.plain) == ("v", True, True, {})


def url(name, *arguments):
    return reverse(f"environment:{name}", args=arguments)


def test_alice_imports_by_the_pages_and_no_value_is_on_them(workspace, alice, client_of):
    client = client_of(alice)
    form = client.get(url("workspace_import", "warehouse"))
    check_page(form.content.decode())
    file = SimpleUploadedFile("airflow_settings.yaml", SETTINGS.encode())

    sent = client.post(url("workspace_import", "warehouse"), {"file": file})
    shown = client.get(sent.url)
    check_page(shown.content.decode())
    chosen = ["connection:warehouse", "variable:since"]
    none = client.post(sent.url, {"is_secret": "on"})
    done = client.post(sent.url, {"chosen": chosen, "is_secret": "on"})

    assert sent.url == url("workspace_import_preview", "warehouse")
    assert SECRET not in shown.content.decode()
    assert "2026-01-01" not in shown.content.decode()
    assert none.status_code == 422
    assert done.status_code == 302
    assert {one.name for one in EnvironmentObject.objects.all()} == {"warehouse", "since"}
    # What was sent is gone.
    assert "is gone" in text_of(client.get(sent.url, follow=True))


def test_a_bad_text_stays_in_the_form(deployment, alice, client_of):
    client = client_of(alice)

    response = client.post(url("import", deployment.ref), {"text": "A='kept-text", "means": ""})
    binary = client.post(
        url("import", deployment.ref), {"file": SimpleUploadedFile("x.env", b"\xff\x00")}
    )

    assert response.status_code == binary.status_code == 422
    assert "kept-text" in response.content.decode()
    assert response.context["form"].errors.keys() == {"text"}
    assert binary.context["form"].errors.keys() == {"file"}


def test_one_persons_text_is_there_for_that_person_and_place_alone(
    workspace, deployment, alice, bob, charlie, client_of
):
    client = client_of(alice)
    client.post(url("workspace_import", "warehouse"), {"text": "A=1"})

    assert "is gone" in text_of(client.get(url("import_preview", deployment.ref), follow=True))
    assert client.get(url("workspace_import_preview", "warehouse")).status_code == 200
    for page in ("workspace_import", "workspace_import_preview"):
        assert client_of(bob).get(url(page, "warehouse")).status_code == 403
        assert client_of(charlie).get(url(page, "warehouse")).status_code == 404


def test_an_export_has_no_secret_and_can_be_imported(workspace, deployment, alice, bob, client_of):
    extra = {"timeout": 5, "client_secret": SECRET}
    value = {"type": "smtp", "host": "h", "password": SECRET, "extra": extra}
    make_object(workspace, alice, value=value, links_all=True)
    make_object(workspace, alice, "variable", "seen: {x}", value={"value": "a: b\n- c"})
    make_object(workspace, alice, "variable", "hid", value={"value": SECRET}, is_secret=True)
    make_object(workspace, alice, "environment", "ENV", value={"value": "e"})

    response = client_of(bob).get(url("workspace_export", "warehouse"))
    text = response.content.decode()

    assert SECRET not in text
    assert response["Content-Disposition"] == 'attachment; filename="airflow_settings.yaml"'
    found = read(text)
    assert found["connection", "warehouse"] == {
        "type": "smtp",
        "host": "h",
        "extra": {"timeout": 5, "client_secret": ""},
    }
    assert found["variable", "seen: {x}"] == {"value": "a: b\n- c"}
    assert found["variable", "hid"] == {"value": ""}
    assert len(found) == 3
    assert read(settings_file(deployment)) == found
