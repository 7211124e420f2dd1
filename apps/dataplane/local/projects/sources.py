"""Where uv gets packages from on this machine: what the operator configured, and the package
indexes of people, which it reaches through `forwarding`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from apps.dataplane.errors import DataPlaneError
from apps.dataplane.local.airflow.runtimes import uv_environment
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.projects.forwarding import Forwarder, forwarding, host_of, origin_of
from apps.dataplane.spec import PackageIndex

OF_OPERATOR = (
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"),
)


@dataclass(frozen=True)
class Sources:
    """The environment of uv. It holds no credential of people."""

    environment: Mapping[str, str]
    forwarder: Forwarder | None = None

    @property
    def failure(self) -> DataPlaneError | None:
        """Why a package index of people was of no use, in words for them."""
        return self.forwarder.failure if self.forwarder else None

    def readable(self, output: str) -> str:
        """Return what uv said, with the addresses that people know."""
        for index in self.forwarder.indexes.values() if self.forwarder else ():
            output = output.replace(f"http://{host_of(index)}", origin_of(index))
        return output


@contextmanager
def package_sources(config: LocalConfig, indexes: Sequence[PackageIndex]) -> Iterator[Sources]:
    """Let uv get packages, as long as this lasts."""
    of_machine = uv_environment(config)
    if not indexes:
        yield Sources(of_machine)
        return
    with forwarding(indexes, networks=config.package_index_networks) as forwarder:
        yield Sources(_environment(of_machine, forwarder.proxy, indexes), forwarder)


def _environment(
    of_machine: Mapping[str, str], proxy: str, indexes: Sequence[PackageIndex]
) -> dict[str, str]:
    """Return the environment of uv. What the operator named is reached without the forwarder."""
    direct = ",".join(sorted(_hosts_in(of_machine)))
    words = {"http_proxy": proxy, "https_proxy": proxy, "all_proxy": proxy, "no_proxy": direct}
    both = {case(name): value for name, value in words.items() for case in (str.lower, str.upper)}
    return {**of_machine, **both, **_order(of_machine, indexes)}


def _order(of_machine: Mapping[str, str], indexes: Sequence[PackageIndex]) -> dict[str, str]:
    only = next((one for one in indexes if one.is_only), None)
    first = " ".join(_address(one) for one in indexes if one is not only)
    if only is None:
        return {"UV_INDEX": f"{first} {of_machine.get('UV_INDEX', '')}".strip()}
    return {**dict.fromkeys(OF_OPERATOR, ""), "UV_INDEX": first, "UV_DEFAULT_INDEX": _address(only)}


def _address(index: PackageIndex) -> str:
    return f"http://{host_of(index)}{urlsplit(index.url).path}"


def _hosts_in(environment: Mapping[str, str]) -> set[str]:
    words = " ".join(environment.get(name, "") for name in OF_OPERATOR).replace(",", " ").split()
    # An index may have a name: `name=https://…`.
    hosts = (urlsplit(word[word.index("://") + 1 :]).hostname for word in words if "://" in word)
    return {host for host in hosts if host}
