"""The pages about the API, and the document that describes it."""

import re
from collections import Counter

from apps.api.service import api
from apps.api.wire.shapes import Shape
from apps.core.public_ids import public_id


def test_the_document_describes_every_operation(client, settings):
    document = client.get("/spec/v1.0").json()

    described = {
        one["operationId"] for methods in document["paths"].values() for one in methods.values()
    }
    known = {
        operation.operation_id
        for router in api._get_bound_routers()
        for view in router.path_operations.values()
        for operation in view.operations
    }
    assert described == known
    assert document["servers"] == [{"url": f"{settings.PORTAL_URL}/v1"}]
    places = ("/organizations", "/users/", "/authorization/", "/worker-hour-prices")
    assert all(path.startswith(places) for path in document["paths"])
    references = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert references <= document["components"]["schemas"].keys()
    assert "Deployment" in references
    assert not [name for name in references if name.endswith("Shape")]


def test_the_reference_reads_without_script_and_names_all(db, client):
    page = client.get("/api/docs/").content.decode()

    assert "List Deployments" in page
    assert "/v1/organizations/{organizationId}/deployments/{deploymentId}" in page
    assert "workerQueues" in page
    assert "<script>" not in page


def test_the_page_of_the_cli_has_the_commands_of_this_portal(bob, client_of, deployment, settings):
    page = client_of(bob).get("/account/cli/").content.decode()

    assert f"astro config set -g local.core {settings.PORTAL_URL}" in page
    assert f"astro deploy --dags {public_id('deployment', deployment.pk)}" in page


def test_the_configuration_file_holds_no_secret(bob, client_of, settings):
    answer = client_of(bob).get("/account/cli/config.yaml")

    assert "attachment" in answer["Content-Disposition"]
    text = answer.content.decode()
    assert f"core: {settings.PORTAL_URL}" in text
    assert "token:" not in text


def test_no_two_shapes_share_a_name():
    """The document knows them by it, and would describe one by the other."""
    found = Counter(one.__name__ for one in set(_below(Shape)))

    assert [name for name, count in found.items() if count > 1] == []


def _below(shape):
    for one in shape.__subclasses__():
        # Of those that ninja makes of them, none is written by hand.
        if one.__module__.startswith("apps."):
            yield one
        yield from _below(one)
