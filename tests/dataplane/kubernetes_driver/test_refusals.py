import base64

import pytest

from apps.dataplane.errors import Permanent, Temporary, Unreachable
from apps.dataplane.kubernetes.api import errors as refusals
from apps.dataplane.kubernetes.api.errors import Request, from_response, scrub, secret_values

ASKED = Request("apply", "Deployment/scheduler")
CANARY = "canary-7f3a-hunter2"


def status(message: str = "", reason: str = "", **details: object) -> dict:
    return {"kind": "Status", "message": message, "reason": reason, "details": details}


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (400, status("bad"), Permanent),
        (401, status("Unauthorized"), refusals.CredentialRefused),
        (403, status("is forbidden"), Permanent),
        (404, status("not found"), refusals.NotFound),
        (409, status("conflict"), refusals.Conflict),
        (410, status("too old"), refusals.Gone),
        (422, status("invalid"), Permanent),
        (429, status("slow down"), refusals.Throttled),
        (500, status("boom"), Temporary),
        (500, status("failed to create typed patch object"), Permanent),
        (503, {}, Temporary),
        (
            403,
            status("x", causes=[{"reason": "NamespaceTerminating"}]),
            refusals.BeingDeleted,
        ),
    ],
)
def test_each_answer_becomes_the_error_it_means(code: int, body: dict, kind: type) -> None:
    error = from_response(status=code, body=body, request=ASKED)

    assert isinstance(error, kind)
    assert error.message.endswith(".")


def test_a_refused_credential_is_no_reason_to_give_up_a_revision() -> None:
    assert isinstance(from_response(status=401, body={}, request=ASKED), Unreachable)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ('pods "a" is forbidden: exceeded quota: deployment, requested: cpu=1', "Raise the quota"),
        ('admission webhook "policy.test" denied the request: no', "a rule of the cluster"),
        ("ValidatingAdmissionPolicy 'x' with binding 'y' denied request: no", "a rule of the clu"),
        ('violates PodSecurity "restricted:latest": x', "pod security standard"),
        ('User "portal" cannot create resource "pods"', "the role to apply"),
    ],
)
def test_what_a_cluster_forbids_is_named_with_its_remedy(message: str, words: str) -> None:
    error = from_response(status=403, body=status(message, "Forbidden"), request=ASKED)

    assert "Deployment/scheduler" in error.message
    assert words in error.message


@pytest.mark.parametrize(
    "body", [{}, status("the server could not find the requested resource", "NotFound")]
)
def test_a_kind_that_the_cluster_does_not_know_is_told_from_a_missing_object(body: dict) -> None:
    asked = Request("apply", "ScaledObject/worker-default")

    error = from_response(status=404, body=body, request=asked)

    assert "does not know the kind ScaledObject" in error.message


@pytest.mark.parametrize("part", ["data", "stringData"])
def test_no_value_of_a_secret_is_quoted(part: str) -> None:
    value = CANARY if part == "stringData" else base64.b64encode(CANARY.encode()).decode()
    manifest = {"kind": "Secret", part: {"password": value}}
    message = f'Invalid value: "{value}" and {CANARY} and {base64.b64encode(CANARY.encode())!r}'

    error = from_response(
        status=422, body=status(message), request=ASKED, secrets=secret_values(manifest)
    )

    assert CANARY not in error.message
    assert value not in error.message


def test_nothing_that_is_said_of_a_secret_is_passed_on() -> None:
    asked = Request("apply", "Secret/airflow", is_secret=True)
    body = status(f"Secret is invalid: {CANARY}", causes=[{"field": "data[fernet]"}])

    error = from_response(status=422, body=body, request=asked)

    assert CANARY not in error.message
    assert "data[fernet]" in error.message


def test_values_of_environment_variables_are_hidden_wherever_they_are() -> None:
    manifest = {
        "kind": "Deployment",
        "spec": {"template": {"spec": {"containers": [{"env": [{"name": "A", "value": CANARY}]}]}}},
    }

    assert scrub(f"x {CANARY} y", secret_values(manifest)) == "x ••• y"


def test_tokens_and_control_characters_go() -> None:
    words = scrub("Authorization: Bearer abc.def\x1b[31m _token=qwe; \n", ())

    assert "abc.def" not in words
    assert "qwe" not in words
    assert words.isprintable()


def test_quoted_values_are_left_out_of_what_the_server_says() -> None:
    body = status('spec.x: Invalid value: "very \\"long\\" text": must be short')

    assert "very" not in from_response(status=422, body=body, request=ASKED).message


def test_a_sentence_has_an_end() -> None:
    assert len(scrub("a" * 10_000, ())) == refusals.LONGEST_SENTENCE
