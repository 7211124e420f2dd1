"""Names of images, what a registry answers, and what is refused of it."""

import json
from typing import Any

import pytest

from apps.own_images.inspection import LABEL, find_image
from apps.own_images.references import ImageNameWrong, Reference, reference_of
from apps.own_images.registries import MOST_BYTES, Credential, ImageUnavailable
from tests.own_images.fake import INDEX, FakeRegistry

DIGEST = f"sha256:{'4b' * 32}"
SECRET = Credential(user="ci", password="canary-registry-9d2e")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("apache/airflow:3.3.2", Reference("docker.io", "apache/airflow", "3.3.2")),
        ("postgres:16", Reference("docker.io", "library/postgres", "16")),
        ("ghcr.io/acme/etl:1.4", Reference("ghcr.io", "acme/etl", "1.4")),
        ("localhost/etl:1", Reference("localhost", "etl", "1")),
        ("r.example.org:5000/a/b/c:v_1-x", Reference("r.example.org:5000", "a/b/c", "v_1-x")),
        (f" r.example.org/etl@{DIGEST} ", Reference("r.example.org", "etl", "", DIGEST)),
        (f"r.example.org/etl:1@{DIGEST}", Reference("r.example.org", "etl", "1", DIGEST)),
    ],
)
def test_a_name_is_read_as_clients_read_it(text: str, expected: Reference):
    found = reference_of(text)

    assert found == expected
    assert reference_of(found.name) == found
    assert reference_of(found.pinned(DIGEST)).digest == DIGEST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "etl",
        "r.example.org/etl",
        "r.example.org/etl:",
        "r.example.org/Etl:1",
        "r.example.org/../etl:1",
        "r.example.org/etl:1 2",
        "r.example.org/etl@sha256:short",
        "https://r.example.org/etl:1",
        "user:pass@r.example.org/etl:1",
        "r.example.org:99999999/etl:1",
        "r.example.org/" + "a/" * 300 + "etl:1",
        "r.example.org/etl:1?x=y",
        "r.example.org/etl:1#x",
        "r.example.org\\etl:1",
    ],
)
def test_what_is_no_name_is_refused_with_an_example(text: str):
    with pytest.raises(ImageNameWrong, match=r"registry\.example\.org/team/etl:1\.4"):
        reference_of(text)


def test_an_image_is_found_by_tag_and_by_digest(registry: FakeRegistry):
    digest = registry.image("1.4")

    by_tag = find_image(name=f"{registry.host}/team/etl:1.4")
    by_digest = find_image(name=f"{registry.host}/team/etl@{digest}")

    assert (by_tag.digest, by_tag.airflow_version) == (digest, "3.3.2")
    assert by_tag.python_version == "3.12.11"
    assert by_digest.digest == digest
    assert by_tag.pinned == f"{registry.host}/team/etl@{digest}"


def test_of_a_list_the_image_for_these_machines_is_taken(registry: FakeRegistry):
    digest = registry.image("amd")
    platforms = [("linux", "arm64", DIGEST), ("linux", "amd64", digest)]
    listed = [
        {"digest": one, "platform": {"os": os, "architecture": architecture}}
        for os, architecture, one in platforms
    ]
    registry.manifest("1.4", {"mediaType": INDEX, "manifests": listed})
    registry.manifest("arm", {"mediaType": INDEX, "manifests": listed[:1]})

    assert find_image(name=f"{registry.host}/team/etl:1.4").digest == digest
    with pytest.raises(ImageUnavailable, match="There is one for linux/arm64"):
        find_image(name=f"{registry.host}/team/etl:arm")


def test_a_label_names_the_airflow_of_other_images(registry: FakeRegistry):
    registry.image(env=(), labels={LABEL: "3.2.2"})

    found = find_image(name=f"{registry.host}/team/etl:1.4")

    assert (found.airflow_version, found.python_version) == ("3.2.2", "")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"env": ()}, "No Airflow was found"),
        ({"env": ("AIRFLOW_VERSION=$(rm -rf)",)}, "No Airflow was found"),
        ({"env": "AIRFLOW_VERSION=3.3.2", "labels": [1]}, "No Airflow was found"),
        ({"architecture": "arm64"}, "--platform linux/amd64"),
        ({"os": "windows"}, "--platform linux/amd64"),
        ({"os": None, "architecture": ["x"]}, "--platform linux/amd64"),
    ],
)
def test_what_does_not_fit_is_refused(registry: FakeRegistry, fields: Any, sentence: str):
    registry.image(**fields)

    with pytest.raises(ImageUnavailable, match=sentence):
        find_image(name=f"{registry.host}/team/etl:1.4")


LIES: dict[str, bytes] = {
    "no JSON": b"<html>",
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "no configuration": b"{}",
    "another configuration": json.dumps({"config": {"digest": DIGEST}}).encode(),
    "a path": json.dumps({"config": {"digest": "../../x"}}).encode(),
    "a list of nothing": json.dumps({"mediaType": INDEX, "manifests": None}).encode(),
    "a list of numbers": json.dumps({"manifests": [1, {"platform": 1}, {"digest": 2}]}).encode(),
    "manifests as text": json.dumps({"manifests": "amd64"}).encode(),
    "much": b" " * (MOST_BYTES + 1),
}


@pytest.mark.parametrize("body", LIES.values(), ids=LIES.keys())
def test_a_lying_registry_is_a_sentence(registry: FakeRegistry, body: bytes):
    registry.manifest("1.4", body)

    with pytest.raises(ImageUnavailable):
        find_image(name=f"{registry.host}/team/etl:1.4")


def test_other_bytes_than_the_digest_says_are_refused(registry: FakeRegistry):
    digest = registry.image("1.4")
    path = f"/v2/team/etl/manifests/{digest}"
    registry.answers[path] = (200, registry.answers[path][1] + b" ", {})

    with pytest.raises(ImageUnavailable, match="another image"):
        find_image(name=f"{registry.host}/team/etl@{digest}")


def test_a_token_is_fetched_where_the_registry_wants_one(registry: FakeRegistry):
    registry.image("1.4")
    challenge = (
        f'Bearer realm="http://{registry.host}/token",service="here",scope="repository:x:push"'
    )
    granted = (200, json.dumps({"token": "t0k3n"}).encode(), {})

    def before(path: str, authorization: str) -> Any:
        if path.startswith("/token"):
            return granted
        refused = (401, b"{}", {"WWW-Authenticate": challenge})
        return None if authorization == "Bearer t0k3n" else refused

    registry.before = before
    find_image(name=f"{registry.host}/team/etl:1.4", credential=SECRET)

    asked, basic = next(one for one in registry.seen if one[0].startswith("/token"))
    assert "scope=repository%3Ateam%2Fetl%3Apull" in asked, "never what the challenge names"
    assert "service=here" in asked
    assert basic.startswith("Basic ")
    assert sum(path.startswith("/token") for path, _ in registry.seen) == 1


def test_a_password_is_sent_only_where_it_is_asked_for_and_by_no_redirect(registry: FakeRegistry):
    registry.image("1.4")
    body = next(
        answer for path, answer in registry.answers.items() if path.startswith("/v2/team/etl/blobs")
    )
    registry.answers["/elsewhere"] = body

    def before(path: str, authorization: str) -> Any:
        if "/blobs/" in path and authorization:
            return (307, b"", {"Location": f"http://{registry.host}/elsewhere"})
        refused = (401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'})
        return None if authorization or path == "/elsewhere" else refused

    registry.before = before
    find_image(name=f"{registry.host}/team/etl:1.4", credential=SECRET)

    assert registry.seen[0][1] == ""
    assert ("/elsewhere", "") in registry.seen
    with pytest.raises(ImageUnavailable, match="needs another pull secret") as raised:
        find_image(name=f"{registry.host}/team/etl:1.4")
    assert SECRET.password not in str(raised.value)
    assert SECRET.password not in repr(SECRET)


@pytest.mark.parametrize(
    ("status", "headers", "sentence"),
    [
        (404, {}, "no such image"),
        (401, {"WWW-Authenticate": "Negotiate"}, "needs another pull secret"),
        (401, {"WWW-Authenticate": 'Bearer realm="file:///etc/passwd"'}, "cannot be asked"),
        (401, {"WWW-Authenticate": 'Bearer realm="http://169.254.169.254/"'}, "169.254.169.254"),
        (429, {}, "too many requests"),
        (500, {}, "status 500"),
        (302, {"Location": "/v2/team/etl/manifests/1.4"}, "redirects too often"),
        (302, {"Location": "http://169.254.169.254/latest"}, "cannot be asked"),
        (302, {}, "redirects too often"),
    ],
)
def test_a_registry_that_refuses_or_leads_away_is_a_sentence(
    registry: FakeRegistry, status: int, headers: dict[str, str], sentence: str
):
    registry.answers["/v2/team/etl/manifests/1.4"] = (status, b"secret words of theirs", headers)

    with pytest.raises(ImageUnavailable, match=sentence) as raised:
        find_image(name=f"{registry.host}/team/etl:1.4")

    assert "of theirs" not in str(raised.value)


def test_addresses_of_this_machine_are_refused_unless_the_operator_allows_them(
    registry: FakeRegistry, settings: Any
):
    registry.image("1.4")
    settings.REGISTRY_NETWORKS = ()

    with pytest.raises(ImageUnavailable, match="PORTAL_REGISTRY_NETWORKS"):
        find_image(name=f"{registry.host}/team/etl:1.4")

    assert registry.seen == []
