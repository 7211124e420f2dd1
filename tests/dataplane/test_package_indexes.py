"""Package indexes of people on this machine: what uv reaches through the forwarder, and how."""

import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.local.airflow.runtimes import RuntimeFolder
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.home import Home
from apps.dataplane.local.projects.environments import Environment, hand_over, take_over
from apps.dataplane.local.projects.forwarding import Forwarder, forwarding, host_of
from apps.dataplane.local.projects.resolving import resolve
from apps.dataplane.local.projects.sources import package_sources
from apps.dataplane.spec import PackageIndex
from tests.dataplane.private_index import ALLOWED, PASSWORD, PrivateIndex, private_index
from tests.dataplane.project_images.servers import ANY, METADATA
from tests.dataplane.specs import make_runtime

CONFIG = LocalConfig(
    database_url="postgresql://x/y",
    broker_url="redis://x",
    edge_url="http://x",
    package_index_networks=ALLOWED,
)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateIndex]:
    folder = tmp_path_factory.mktemp("index")
    with private_index(folder) as index:
        index.add_wheels(folder)
        yield index


@pytest.fixture
def index(started: PrivateIndex) -> PrivateIndex:
    started.asked.clear()
    started.redirects.clear()
    return started


def ask(forwarder: Forwarder, url: str, method: str = "GET", **options: Any) -> requests.Response:
    options.setdefault("proxies", {"http": forwarder.proxy, "https": forwarder.proxy})
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, timeout=5, allow_redirects=False, **options)


def test_an_index_is_asked_with_its_credential_and_its_links_lead_back(index: PrivateIndex) -> None:
    spec = index.spec()
    index.redirects["/team/simple/moved/"] = f"{index.origin}/team/simple/needy/"
    base = f"http://{host_of(spec)}/team/simple"

    with forwarding([spec], networks=ALLOWED) as forwarder:
        page = ask(forwarder, f"{base}/greeting-words/")
        moved = ask(forwarder, f"{base}/moved/")
        missing = ask(forwarder, f"{base}/none/", "HEAD")

    assert f'href="http://{host_of(spec)}/team/files/greeting_words-1.2' in page.text
    assert moved.headers["Location"] == f"{base}/needy/"
    assert (page.status_code, moved.status_code, missing.status_code) == (200, 302, 404)
    assert all(has_credential for _, _, has_credential in index.asked)
    assert forwarder.failure is None


def test_uv_locks_from_an_index_that_asks_who_it_is(index: PrivateIndex) -> None:
    # uv keeps what an index said by its address.
    spec = index.spec(secrets.token_hex(8), is_only=True)

    lock = resolve(
        config=CONFIG,
        runtime=make_runtime(),
        requirements=("greeting-words",),
        preferred={},
        indexes=(spec,),
    )

    assert [one.name for one in lock.packages] == ["greeting-words"]
    assert "127.0.0.1" not in lock.text
    assert "invalid" not in lock.text


@pytest.mark.parametrize(
    ("asked", "taken"),
    [("eager", "1.0"), ("eager>=1", "1.0"), ("eager>=2.0rc1", "2.0rc1"), ("early", "0.1b2")],
)
def test_a_pre_release_is_taken_where_it_is_asked_for_or_there_is_no_other(
    index: PrivateIndex, tmp_path: Path, asked: str, taken: str
) -> None:
    def version(name: str, number: str) -> dict[str, str]:
        info = f"{name}-{number}.dist-info"
        metadata = METADATA.format(name, number)
        return {f"{name}.py": "", f"{info}/METADATA": metadata, f"{info}/WHEEL": ANY}

    index.add(tmp_path, version("eager", "1.0"), version("eager", "2.0rc1"))
    index.add(tmp_path, version("early", "0.1b1"), version("early", "0.1b2"))
    spec = index.spec(secrets.token_hex(8), is_only=True)

    lock = resolve(
        config=CONFIG,
        runtime=make_runtime(),
        requirements=(asked,),
        preferred={},
        indexes=(spec,),
    )

    assert [one.version for one in lock.packages] == [taken]


def failure_of(asked: PackageIndex, path: str = "/greeting-words/") -> DataPlaneError | None:
    networks = ALLOWED if asked.name == "acme" else ()
    with forwarding([asked], networks=networks) as forwarder:
        answer = ask(forwarder, f"http://{host_of(asked)}{urlsplit(asked.url).path}{path}")
    assert answer.status_code in (401, 403)
    return forwarder.failure


def test_what_is_wrong_with_an_index_is_said(index: PrivateIndex) -> None:
    spec = index.spec()
    cases = (
        (replace(spec, password="another"), Permanent, "refuses its user and password"),
        (replace(spec, password=""), Permanent, "asks for a user and a password"),
        (replace(spec, ca_certificate=""), Permanent, "is not trusted"),
        (replace(spec, url="https://127.0.0.1:1/simple"), Temporary, "does not answer"),
        (replace(spec, url="https://nowhere.invalid/simple"), Temporary, "cannot be looked up"),
        (replace(spec, name="inside"), Permanent, "an address of the portal's own machine"),
        (
            replace(spec, url="https://169.254.169.254/simple"),
            Permanent,
            "where clouds keep their metadata service",
        ),
    )
    for asked, kind, words in cases:
        failure = failure_of(asked)
        assert type(failure) is kind, words
        assert words in failure.message
        assert PASSWORD not in failure.message
    assert {has_credential for _, _, has_credential in index.asked} == {False}


def test_where_links_and_redirects_lead_is_checked_and_gets_no_credential(
    index: PrivateIndex, tmp_path: Path
) -> None:
    spec = index.spec()
    (tmp_path / "ca.pem").write_text(index.ca)
    with forwarding([spec], networks=()) as forwarder:
        for url in ("https://169.254.169.254/x", "https://127.0.0.1:1/x", "https://[::1]:80/x"):
            with pytest.raises(requests.exceptions.ProxyError):
                ask(forwarder, url)
        assert ask(forwarder, "http://127.0.0.1:80/x").status_code == 403
    assert forwarder.failure
    assert "169.254.169.254, which is not asked" in forwarder.failure.message

    with forwarding([spec], networks=ALLOWED) as forwarder:
        url = f"{index.origin}/team/simple/needy/"
        answer = ask(forwarder, url, verify=str(tmp_path / "ca.pem"))
    assert answer.status_code == 401
    assert index.asked == [("GET", "/team/simple/needy/", False)]


def test_no_one_else_on_this_machine_gets_through(index: PrivateIndex) -> None:
    spec = index.spec()
    with forwarding([spec], networks=ALLOWED) as forwarder:
        bare = f"http://127.0.0.1:{forwarder.server.server_port}"
        for proxy in (bare, bare.replace("//", "//portal:guess@")):
            options = {"proxies": {"http": proxy, "https": proxy}}
            url = f"http://{host_of(spec)}/team/simple/needy/"
            assert ask(forwarder, url, **options).status_code == 407
            with pytest.raises(requests.exceptions.ProxyError):
                ask(forwarder, index.origin, **options)
    assert index.asked == []


def test_uv_is_told_the_order_and_no_credential(
    index: PrivateIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INDEX", "https://operators.example/simple")
    first, second = index.spec("b1"), index.spec("b2")
    with package_sources(CONFIG, [first, second]) as sources:
        beside = dict(sources.environment)
        said = sources.readable(f"Failed: http://{host_of(first)}/team/simple/x/")
    with package_sources(CONFIG, [first, replace(second, is_only=True)]) as sources:
        alone = dict(sources.environment)

    urls = [f"http://{host_of(one)}/team/simple" for one in (first, second)]
    assert beside["UV_INDEX"] == f"{urls[0]} {urls[1]} https://operators.example/simple"
    assert beside["NO_PROXY"] == beside["no_proxy"] == "operators.example"
    assert "UV_DEFAULT_INDEX" not in beside or beside["UV_DEFAULT_INDEX"] not in urls
    assert (alone["UV_INDEX"], alone["UV_DEFAULT_INDEX"]) == (urls[0], urls[1])
    assert said == f"Failed: {index.origin}/team/simple/x/"
    assert PASSWORD not in str(beside) + str(alone) + repr(first)


def test_credentials_are_handed_over_in_a_file_that_is_gone_at_once(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.touch()
    runtime = RuntimeFolder(Home(tmp_path), "3.3.2-1", lock)
    runtime.path.mkdir(parents=True)
    environment = Environment(runtime, "f" * 64)
    given = PackageIndex(key="k", name="n", url="https://i.example", password=PASSWORD)

    hand_over(environment, [given])
    mode = stat.S_IMODE(os.stat(environment.handover).st_mode)
    taken = take_over(environment)

    assert (mode, taken) == (0o600, (given,))
    assert not environment.handover.exists()
    assert take_over(environment) == ()
