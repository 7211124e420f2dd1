"""A plane that does not know yet which namespace a Deployment took makes none of its own."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.apply.named_namespaces import refuse_to_take
from apps.dataplane.kubernetes.config import Connection

NAMED = Connection(
    server="https://cluster.test",
    ca_certificate="",
    namespaces=("team-a",),
    homes={"shop": "team-a"},
)


def api(*pods: str) -> Api:
    found: list[dict[str, Any]] = [{"metadata": {"name": name}} for name in pods]
    return cast(Api, SimpleNamespace(connection=NAMED, list=lambda *_, **__: found))


def test_only_a_named_and_empty_namespace_is_taken() -> None:
    refuse_to_take(api(), NAMED.home("shop"))
    with pytest.raises(Temporary, match="no namespace of this cluster yet"):
        refuse_to_take(api(), NAMED.home("unknown"))
    with pytest.raises(Permanent, match="has pods of others, like theirs"):
        refuse_to_take(api("theirs"), "team-a")


def test_the_namespaces_make_it_no_other_connection_for_the_pools() -> None:
    other = Connection(server="https://cluster.test", ca_certificate="")

    assert other == NAMED
    assert hash(other) == hash(NAMED)
    assert other.home("shop") == "airflow-shop"
    assert (other.scopes, NAMED.scopes) == (("",), ("team-a",))
