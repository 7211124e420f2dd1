"""The OpenAPI document against the API: calls that are drawn from it break nothing, answers are as
it says, and strangers learn nothing.
"""

import json
import logging
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from hypothesis import HealthCheck, given, settings

from apps.api.pages.document import document
from tests.architecture.permission_table import ROLES, TOKENS
from tests.architecture.stage import Stage
from tests.architecture.test_api_matrix import ids_on
from tests.architecture.test_api_matrix import programs as programs  # a fixture

schemathesis = pytest.importorskip("schemathesis")
jsonschema = pytest.importorskip("jsonschema")
pytestmark = pytest.mark.slow

# Each built-in role and a custom one, each kind of token, and a stranger: all make the first call
# of an operation, a few the next one.
VISITORS = (*sorted(ROLES | TOKENS), "outsider")
FEW = ("organization owner", "workspace member", "deployment token", "outsider")
EXAMPLES = 2
# Names and numbers of what the outsider must not learn of.
FOREIGN = (b"etl-prod", b"Nordhavn", b"Warehouse")


def test_calls_that_the_document_allows_break_nothing_for_any_role(
    stage: Stage, programs: dict[str, Any]
) -> None:
    schema = schemathesis.openapi.from_dict(document())
    ids, wrong = ids_on(stage), list[str]()
    logging.disable(logging.CRITICAL)
    for found in schema.get_all_operations():
        _try(found.ok(), programs, ids, wrong)
    logging.disable(logging.NOTSET)

    assert not wrong, "\n".join(sorted(set(wrong)))


def _try(operation: Any, programs: dict[str, Any], ids: dict[str, str], wrong: list[str]) -> None:
    """Make a few calls of an operation, undo what they did, and note what is wrong."""
    path, asked = f"/v1{operation.path.format_map(ids)}", list[str]()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        for visitor in FEW if asked else VISITORS:
            cache.clear()
            asked.append(visitor)
            with transaction.atomic():
                answer = _call(programs[visitor], operation.method.upper(), path, case)
                wrong.extend(_problems(operation, answer, visitor))
                transaction.set_rollback(True)

    ask()


def _call(client: Any, method: str, path: str, case: Any) -> Any:
    query = {name: value for name, value in (case.query or {}).items() if value is not None}
    body = "" if method in ("GET", "DELETE") else json.dumps(_plain(case.body), default=str)
    return client.generic(
        method, path, body, "application/json", query_params=query if query else None
    )


def _plain(body: Any) -> Any:
    return body if isinstance(body, dict | list | str | int | float | bool) else {}


def _problems(operation: Any, answer: Any, visitor: str) -> list[str]:
    name = f"{operation.method.upper()} {operation.path} as {visitor}"
    if answer.streaming:
        return []
    found = []
    if answer.status_code >= 500 and answer.status_code not in (501, 503):
        found.append(f"{name}: {answer.status_code}")
    if visitor == "outsider" and any(one in answer.content for one in FOREIGN):
        found.append(f"{name}: foreign data")
    if answer.status_code == 200 and (problem := _not_as_described(operation, answer)):
        found.append(f"{name}: {problem}")
    if answer.status_code >= 400 and json.loads(answer.content)["statusCode"] != answer.status_code:
        found.append(f"{name}: a refusal of another shape")
    return found


def _not_as_described(operation: Any, answer: Any) -> str:
    described = document()["paths"][operation.path][operation.method.lower()]["responses"]
    content = described.get("200", {}).get("content", {}).get("application/json")
    if content is None:
        return "an answer that is not described"
    schema = {**content["schema"], "components": document()["components"]}
    try:
        jsonschema.validate(json.loads(answer.content), schema)
    except jsonschema.ValidationError as error:
        return f"{error.json_path}: {error.message[:200]}"
    return ""
