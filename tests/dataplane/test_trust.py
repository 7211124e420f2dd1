"""The CAs of a company, as programs use them: its servers are trusted beside the public ones."""

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

from apps.dataplane.production import ProductionSpec
from apps.dataplane.site.trust import READ_BY, trust, trusted
from tests.deploys.git_servers import Repository, https_server
from tests.kubernetes.certificates import Authority

COMPANY = Authority("Corp Root CA")
SETTINGS = ProductionSpec(ca_bundle=COMPANY.certificate)
URLLIB = "import sys, urllib.request as u; u.urlopen(sys.argv[1] + '/info/refs')"
PROGRAMS = {
    "requests": [sys.executable, "-c", "import requests, sys; requests.get(sys.argv[1])"],
    "urllib": [sys.executable, "-c", URLLIB],
    "curl": ["curl", "--silent"],
    "git": ["git", "ls-remote"],
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("git")
    Repository(root / "dags.git").commit({"a.py": b""})
    with https_server(root, COMPANY) as address:
        yield f"{address}/dags.git"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_server_of_the_company_is_trusted_by_the_file_and_not_without(
    program: str, url: str, tmp_path: Path
) -> None:
    path = tmp_path / "ca-bundle.pem"
    path.write_text(trusted(SETTINGS))

    def status(variables: dict[str, str]) -> int:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **variables}
        command = [*PROGRAMS[program], url]
        return subprocess.run(command, env=environment, capture_output=True).returncode

    assert status(trust(SETTINGS, path=str(path))) == 0
    assert status({}) != 0


def test_public_cas_stay_trusted() -> None:
    public = ssl.create_default_context(cadata=certifi.contents())
    both = ssl.create_default_context(cadata=trusted(SETTINGS))

    assert len(both.get_ca_certs()) == len(public.get_ca_certs()) + 1


def test_only_another_bundle_of_the_company_changes_what_restarts() -> None:
    other = ProductionSpec(ca_bundle=Authority("Corp Root CA 2").certificate)

    one, two = (trust(settings, path="/a.pem") for settings in (SETTINGS, other))

    assert {name: one[name] for name in READ_BY} == {name: two[name] for name in READ_BY}
    assert one["PORTAL_CA_BUNDLE"] != two["PORTAL_CA_BUNDLE"]
    assert trust(ProductionSpec(), path="/a.pem") == {}
    assert trusted(ProductionSpec()) == ""
