import pytest

from apps.audit.redaction import redacted


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "DB_PASSWORD",
        "MY_API_KEY",
        "apikey",
        "SLACK_TOKEN_2",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW_CONN_WAREHOUSE",
        "client-secret",
        "AWS_SECRET_ACCESS_KEY",
        "SENTRY_DSN",
    ],
)
def test_values_of_secret_names_are_hidden(name):
    assert redacted({name: [None, "s3cret"]}) == {name: [None, "hidden"]}


@pytest.mark.parametrize(
    "name",
    ["role of token@example.org", "Runtime", "TOKENIZER", "PASSENGERS", "KEYBOARD", "secretary"],
)
def test_other_values_stay(name):
    assert redacted({name: ["a", 3]}) == {name: ["a", 3]}


def test_passwords_in_addresses_are_hidden():
    url = "postgresql://ada:p:ss@host:5432/x?y=z"

    assert redacted({"URL": ["", url]}) == {"URL": ["", "postgresql://ada:hidden@host:5432/x?y=z"]}
    assert redacted({"URL": ["http://host:80/a", 1]}) == {"URL": ["http://host:80/a", 1]}


def test_secrets_deep_inside_are_hidden():
    changes = {"connection": {"host": "h", "password": {"value": ["x"]}}}

    assert redacted(changes) == {"connection": {"host": "h", "password": {"value": ["hidden"]}}}
