"""Of a pasted kubeconfig only inline data is taken; everything else is refused by name."""

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from apps.clusters.connections.kubeconfig import MOST_BYTES, Access, read_kubeconfig
from apps.core.errors import Invalid
from tests.clusters.material import (
    CANARY,
    NOW,
    SERVER,
    b64,
    certificate,
    document,
    jwt,
    key_pem,
    kubeconfig,
)


def read(text: str, context: str = "", networks: tuple[str, ...] = ()) -> Access:
    return read_kubeconfig(text, context=context, networks=networks, now=NOW)


def refusal(text: str, **how: Any) -> str:
    with pytest.raises(Invalid) as caught:
        read(text, **how)
    assert CANARY not in caught.value.message
    assert caught.value.__cause__ is None
    return caught.value.message


def test_it_takes_server_authority_and_token() -> None:
    access = read(kubeconfig(cluster={"tls-server-name": "api.internal"}))

    assert access.connection.server == SERVER
    assert access.connection.token == CANARY
    assert access.connection.ca_certificate == certificate()
    assert access.connection.tls_server_name == "api.internal"
    assert access.connection.networks == ()
    assert access.context == "main"
    assert CANARY not in repr(access)


def test_it_takes_a_client_certificate_with_its_key() -> None:
    pair = {
        "client-certificate-data": b64(certificate("client", days=10)),
        "client-key-data": b64(key_pem("client")),
    }

    access = read(kubeconfig(user=pair))

    assert access.connection.token == ""
    assert "BEGIN CERTIFICATE" in access.connection.client_certificate
    assert "BEGIN PRIVATE KEY" in access.connection.client_key
    assert access.expires_at == datetime(2026, 12, 2, 12, 0, tzinfo=UTC)


EKS = "k8s-aws-v1." + b64("https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity")
HOURS = 3600
SOON = int(NOW.timestamp()) + HOURS


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (EKS.rstrip("="), "AWS"),
        ("ya29.a0AfB_byC-abcdefghijklmnop", "Google access token"),
        ("ya29.d.b0Aaekm1.k-abc", "Google access token"),
        ("ya29.c.b0Aaekm1K", "Google access token"),
        ("sha256~vFanQbthlPKfsaldJT3bdLXIyEkd7ypO_uPygY1DNtQ", "OpenShift"),
        (jwt(iss="https://sts.windows.net/72f988bf/", exp=SOON + 80 * HOURS), "Entra"),
        (jwt(iss="https://login.microsoftonline.com/72f988bf/v2.0"), "Entra"),
        (jwt(iss="https://accounts.google.com", exp=SOON), "Google identity token"),
        (jwt(iss="https://dex.example.org", exp=SOON), "ends at 13:00 UTC"),
        (jwt(sub="system:serviceaccount:a:b", exp=str(SOON)), "ends at 13:00 UTC"),
        (jwt(sub="system:serviceaccount:a:b", exp=SOON + 0.5), "ends at 13:00 UTC"),
    ],
)
def test_a_token_that_ends_within_hours_is_refused_with_what_to_use_instead(
    token: str, kind: str
) -> None:
    message = refusal(kubeconfig(user={"token": token}))

    assert kind in message
    assert "service account" in message
    assert token not in message


def test_a_token_that_says_nothing_of_its_end_is_taken() -> None:
    for token in (jwt(sub="system:serviceaccount:a:b"), "kubeconfig-u-abc:secret", "a.b.c"):
        assert read(kubeconfig(user={"token": token})).expires_at is None


def test_it_knows_when_a_token_expires() -> None:
    until = datetime(2027, 1, 1, tzinfo=UTC)

    access = read(kubeconfig(user={"token": jwt(exp=int(until.timestamp()))}))

    assert access.expires_at == until


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("exec", {"command": "sh", "args": ["-c", CANARY]}),
        ("auth-provider", {"name": "gcp", "config": {"cmd-path": "/bin/sh"}}),
        ("tokenFile", "/etc/passwd"),
        ("client-certificate", "/home/ana/client.crt"),
        ("client-key", "/home/ana/client.key"),
        ("username", "admin"),
        ("password", CANARY),
        ("as", "system:admin"),
        ("as-groups", ["system:masters"]),
        ("as-uid", "7"),
        ("as-user-extra", {"scopes": ["all"]}),
        ("surprise", "x"),
    ],
)
def test_it_refuses_users_that_are_more_than_a_credential(field: str, value: Any) -> None:
    message = refusal(kubeconfig(user={"token": CANARY, field: value}))

    assert field.split("-")[0].lower() in message.lower()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("certificate-authority", "/etc/ssl/ca.crt"),
        ("insecure-skip-tls-verify", True),
        ("insecure-skip-tls-verify", "yes"),
        ("surprise", "x"),
    ],
)
def test_it_refuses_clusters_that_are_more_than_an_address(field: str, value: Any) -> None:
    assert field in refusal(kubeconfig(cluster={field: value}))


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("socks5://10.0.0.1:1080", "Give the proxy like"),
        ("https://proxy.example.org:3128", "Give the proxy like"),
        ("http://proxy.example.org/path", "Give the proxy like"),
        ("http://me:secret@proxy.example.org:3128", "without name and password"),
        ("http://169.254.169.254", "link-local"),
        ("http://127.0.0.1:3128", "own machine"),
    ],
)
def test_a_proxy_is_an_http_proxy_at_an_allowed_address(proxy: str, says: str) -> None:
    assert says in refusal(kubeconfig(cluster={"proxy-url": proxy}))


def test_a_proxy_is_kept_with_the_connection() -> None:
    access = read(kubeconfig(cluster={"proxy-url": "http://Proxy.example.org:3128/"}))

    assert access.connection.proxy == "http://Proxy.example.org:3128"


def test_fields_that_are_there_but_empty_are_no_reason_to_refuse() -> None:
    empty = {"proxy-url": "", "insecure-skip-tls-verify": False, "extensions": []}

    access = read(kubeconfig(cluster=empty, user={"token": CANARY, "exec": None, "as-groups": []}))

    assert access.connection.token == CANARY


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ("http://cluster.example.org", "https://"),
        ("ftp://cluster.example.org", "https://"),
        ("cluster.example.org", "https://"),
        ("https://ana:secret@cluster.example.org", "before the @"),
        ("https://cluster.example.org/?x=1", "before the ?"),
        ("https://cluster.example.org/#x", "before the ?"),
        ("https://cluster.example.org:0", "port 0"),
        ("https://cluster.example.org:99999", "no address"),
        ("https://[::1", "no address"),
        ("https://", "host name"),
        ("https://clu ster.example.org", "Give an address"),
        ("https://cluster.example.org\\@evil", "Give an address"),
        ("https://clu\u202egro.elpmaxe", "Give an address"),
        ("https://" + "a" * 600, "Give an address"),
        ("https://-x.example.org", "host name"),
        ("https://127.0.0.1:6443", "own machine"),
        ("https://localhost:6443", "own machine"),
        ("https://api.localhost", "own machine"),
        ("https://[::1]:6443", "own machine"),
        ("https://[::ffff:127.0.0.1]", "own machine"),
        ("https://[::ffff:a9fe:a9fe]", "link-local"),
        ("https://[64:ff9b::7f00:1]", "own machine"),
        ("https://[2002:7f00:1::]", "own machine"),
        ("https://169.254.169.254", "metadata"),
        ("https://[fe80::1%25eth0]", "link-local"),
        ("https://[fd00:ec2::254]", "metadata"),
        ("https://100.100.100.200", "metadata"),
        ("https://224.0.0.1", "multicast"),
        ("https://[ff02::1]", "multicast"),
        ("https://0.0.0.0", "not the address"),
        ("https://0.1.2.3", "not the address"),
        ("https://[::]", "not the address"),
        ("https://255.255.255.255", "reserved"),
        ("https://2130706433", "host name"),
        ("https://0x7f000001", "host name"),
        ("https://127.1", "host name"),
        ("https://0177.0.0.1", "host name"),
    ],
)
def test_it_refuses_servers_the_portal_must_not_call(server: str, says: str) -> None:
    assert says in refusal(kubeconfig(cluster={"server": server}))


@pytest.mark.parametrize(
    "server",
    [
        "https://10.1.2.3:6443",
        "https://192.168.1.9",
        "https://[fd12:3456::1]:6443",
        "https://100.64.7.7",
        "https://8.8.8.8",
        "https://rancher.example.org/k8s/clusters/c-m-abc",
        "https://ABC.gr7.eu-west-1.eks.amazonaws.com",
    ],
)
def test_it_takes_public_and_private_servers(server: str) -> None:
    assert read(kubeconfig(cluster={"server": server})).connection.server == server


def test_the_operator_can_allow_further_networks() -> None:
    config = kubeconfig(cluster={"server": "https://127.0.0.1:6443"})

    access = read(config, networks=("127.0.0.0/8",))

    assert access.connection.networks == ("127.0.0.0/8",)
    assert "PORTAL_CLUSTER_NETWORKS" in refusal(config, networks=("127.0.0.2/32",))


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ({}, "no credential"),
        ({"token": f"{CANARY} and more"}, "no token"),
        ({"token": f"{CANARY}\x07"}, "no token"),
        ({"token": "x" * 20_000}, "no token"),
        ({"token": {"a": CANARY}}, "must be text"),
        ({"token": jwt(exp=1_700_000_000)}, "expired on 14 Nov 2023"),
        ({"client-certificate-data": b64(certificate("client"))}, "client-key-data is missing"),
        ({"client-key-data": b64(key_pem("client"))}, "client-certificate-data is missing"),
        (
            {
                "client-certificate-data": b64(certificate("client")),
                "client-key-data": b64(key_pem("other")),
            },
            "does not belong",
        ),
        (
            {
                "client-certificate-data": b64(certificate("client", days=-2)),
                "client-key-data": b64(key_pem("client")),
            },
            "expired on 20 Nov 2026",
        ),
        (
            {
                "client-certificate-data": b64(certificate("client")),
                "client-key-data": b64(key_pem("client", password=b"x")),
            },
            "protected by a password",
        ),
        (
            {
                "client-certificate-data": b64(certificate("client")),
                "client-key-data": b64(f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n"),
            },
            "cannot be read",
        ),
        (
            {
                "client-certificate-data": b64(CANARY),
                "client-key-data": b64(key_pem("client")),
            },
            "cannot be read",
        ),
        (
            {"client-certificate-data": "%%%", "client-key-data": "x"},
            "not base64",
        ),
    ],
)
def test_it_refuses_credentials_that_cannot_work(user: dict[str, Any], says: str) -> None:
    assert says in refusal(kubeconfig(user=user))


@pytest.mark.parametrize(
    ("authority", "says"),
    [
        (None, "missing"),
        ("", "missing"),
        ("%%%", "not base64"),
        (b64("\u00e9"), "not base64"),
        (b64("garbage"), "cannot be read"),
        (b64("-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n"), "read"),
        (b64(certificate("old", days=-30)), "expired on 23 Oct 2026"),
        (b64("x" * 160_000), "too long"),
        (b64(certificate() * 101), "too many"),
        (7, "not base64"),
    ],
)
def test_it_refuses_authorities_that_cannot_work(authority: Any, says: str) -> None:
    assert says in refusal(kubeconfig(cluster={"certificate-authority-data": authority}))


def test_an_expired_authority_beside_a_good_one_is_dropped() -> None:
    both = certificate("old", days=-30) + certificate()

    access = read(kubeconfig(cluster={"certificate-authority-data": b64(both)}))

    assert access.connection.ca_certificate == certificate()


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Paste"),
        ("  \n", "Paste"),
        ("just words", "not a kubeconfig"),
        ("[1, 2]", "not a kubeconfig"),
        ("apiVersion: v1", "no context"),
        ("a: b: c", "not YAML (line 1)"),
        ("a: 1\n---\nb: 2", "not YAML"),
        ("contexts:\n\t- x", "not YAML (line 2)"),
        ("a: \x07", "not YAML"),
        ("a: \ud800", "not YAML"),
        (BOMB, "References"),
        ("<<: *x", "References"),
        ("[" * 500, "too deep"),
        ("[" * 100_000, "too deep"),
        ("a: [" + "x," * 30_000 + "]", "too large"),
        ("x" * (MOST_BYTES + 1), "256 KiB"),
        ("a: 1\na: 2", "twice"),
        ("? [a]\n: b", "must be text"),
        ("!!python/object/apply:os.system ['true']", "not a kubeconfig"),
        ("contexts: 7", "must be a list"),
        ("contexts: [7]", "must be a list"),
        ("contexts: [{name: ''}]", "no usable name"),
        ("contexts: [{name: [x]}]", "no usable name"),
        ("contexts: [{name: " + "x" * 300 + "}]", "no usable name"),
        ('contexts: [{name: "a\u202eb"}]', "cannot be shown"),
        ("contexts: [{name: a}]", "not there"),
        ("contexts: [{name: a, context: {cluster: c, user: u}}]", "not there"),
    ],
)
def test_it_refuses_texts_that_are_no_kubeconfig(text: str, says: str) -> None:
    assert says in refusal(text)


def test_it_refuses_two_entries_of_one_name() -> None:
    twice = document()
    twice["users"] += [{"name": "u", "user": {"token": "other"}}]

    assert "more than one" in refusal(yaml.safe_dump(twice))


def several() -> str:
    config = document()
    config["contexts"] += [{"name": "bad", "context": {"cluster": "c", "user": "runs-things"}}]
    config["users"] += [{"name": "runs-things", "user": {"exec": {"command": "sh"}}}]
    return yaml.safe_dump(config)


def test_it_asks_which_of_several_contexts_to_use() -> None:
    with pytest.raises(Invalid) as caught:
        read(several())

    assert caught.value.field == "context"
    assert "main, bad" in caught.value.message


def test_it_judges_only_the_chosen_context() -> None:
    assert read(several(), context=" main ").context == "main"
    assert "exec" in refusal(several(), context="bad")
    assert "no context of this name" in refusal(several(), context="other")
