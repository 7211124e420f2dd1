"""What generators of clients need of the OpenAPI document, for every operation and shape."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from apps.api.pages.document import document, operations_by_subject

# Their answers are a list without numbers around it, as clients of Astro expect.
PLAIN_LISTS = {"GetClusterOptions", "ListRoleTemplates", "ListPermissionGroups"}
# Where `If-Match` is taken.
CONDITIONAL = {
    "UpdateDeployment",
    "UpdateOrganizationDeploymentSettings",
    "UpdateClusterDeploymentSettings",
    "UpdateWorkspaceDeploymentSettings",
}
CREATES = ("Create", "Connect", "Copy", "Check", "LabsCreate", "Rotate")
# Shapes whose keys are the reader's own: names of settings, of counts, of options.
OPEN = {
    "BackendBody.options",
    "BulkAction.parameters",
    "BulkActionWithItems.parameters",
    "ConnectionBody.extra",
    "Deployment.settings",
    "DeploymentChange.settings",
    "Import.counts",
    "Import.notUnpaused",
    "Layer.settings",
    "LayerBody.settings",
    "LayerPreviewBody.settings",
    "NewBulkAction.parameters",
    "NewDeployment.settings",
    "Queue.nodeSelector",
    "QueueBody.nodeSelector",
    "RuleChannel.definition",
    "SavedLayer.settings",
}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    for shape, schema in document()["components"]["schemas"].items():
        for name, field in schema.get("properties", {}).items():
            yield f"{shape}.{name}", field


def parts(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from parts(one)


def test_every_operation_tells_its_refusals_in_their_one_shape():
    for path, method, operation in operations():
        told = operation["responses"].keys()
        needed = {"400", "401", "429", "default"}
        needed |= {"403", "404"} if "{" in path else set()
        needed |= {"409"} if method != "get" else set()
        assert needed <= told, operation["operationId"]
        for status in needed:
            content = operation["responses"][status]["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert "Retry-After" in operation["responses"]["429"]["headers"]


def test_every_operation_has_a_name_that_begins_with_a_verb_a_summary_and_a_subject():
    found = [operation for _, _, operation in operations()]
    ids = [one["operationId"] for one in found]

    assert len(ids) == len(set(ids))
    assert not [one for one in ids if not re.fullmatch(r"([A-Z][a-z]+){2,}", one)]
    assert all(one["summary"] and len(one["tags"]) == 1 for one in found)


def test_reads_have_a_version_and_creates_a_key():
    for _, method, operation in operations():
        name = operation["operationId"]
        sent = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
        answers = operation["responses"]
        is_json = "application/json" in answers.get("200", {}).get("content", {})
        if method == "get":
            assert ("If-None-Match" in sent) == ("304" in answers) == is_json, name
        if name.startswith(CREATES):
            assert "Idempotency-Key" in sent, name
        assert ("If-Match" in sent) == (name in CONDITIONAL), name


def test_every_answer_and_every_body_has_a_named_shape():
    for _, _, operation in operations():
        name, answer = operation["operationId"], operation["responses"].get("200", {})
        for schema in (one["schema"] for one in answer.get("content", {}).values()):
            named = schema.get("items", {}) if name in PLAIN_LISTS else schema
            is_text = name == "GetOrganizationAuditLogs"
            assert is_text or named.keys() == {"$ref"}, name
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert body is None or body["schema"].keys() == {"$ref"}, name


def test_every_field_has_a_type():
    found = {
        name
        for name, field in fields()
        for one in (field, *field.get("anyOf", ()))
        if one.keys() <= {"description", "default"}
        or (one.get("type") == "object" and "properties" not in one)
        or (one.get("type") == "array" and not one.get("items"))
    }

    assert found == OPEN


@pytest.mark.parametrize("part", ["paths", "components"])
def test_nothing_is_there_that_generators_stumble_over(part):
    """openapi-python-client left out whole shapes, and all operations that have them, where an
    object was the default.
    """
    for one in parts(document()[part]):
        is_schema = "type" in one or "$ref" in one or "allOf" in one
        assert not (is_schema and isinstance(one.get("default"), dict)), one
        assert len(one.get("allOf", [1, 2])) > 1, one
        assert not isinstance(one.get("title"), str), one


def test_an_answer_says_which_fields_it_always_has():
    schemas = document()["components"]["schemas"]

    page = schemas["DeploymentList"]
    assert set(page["required"]) == {"deployments", "totalCount", "offset", "limit"}
    deployment = schemas["Deployment"]
    assert "workerQueues" in deployment["required"]
    assert "workloadIdentity" not in deployment["required"]
    # What is sent may leave out as much as before.
    assert "workerQueues" not in schemas["DeploymentChange"].get("required", ())
    assert {"type": "null"} in schemas["DeploymentChange"]["properties"]["description"]["anyOf"]


def test_the_reference_names_every_type():
    unknown = {
        f"{operation.id}.{field.name}"
        for operations in operations_by_subject().values()
        for operation in operations
        for field in (*operation.query, *operation.body, *operation.answer)
        if field.kind == "anything"
    }

    assert unknown == set()
