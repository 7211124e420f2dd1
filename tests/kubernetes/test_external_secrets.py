"""Secrets of a store in namespaces of Deployments, by the definitions of External Secrets."""

import json
import time
from pathlib import Path

import pytest
import yaml

from apps.dataplane.kubernetes.render import render
from apps.dataplane.production import ProductionSpec, SecretVariable
from apps.layers.catalogue import SETTINGS
from tests.dataplane.kubernetes_render.matrix import make_config
from tests.dataplane.specs import make_spec
from tests.kubernetes import go_builds
from tests.kubernetes.assets import MODULES
from tests.kubernetes.control_plane import ControlPlane

pytestmark = pytest.mark.slow
OPERATOR = "github.com/external-secrets/external-secrets"
MODULE = MODULES / "external-secrets"
DEFINITION = "config/crds/bases/external-secrets.io_clusterexternalsecrets.yaml"
GIVEN = Path(__file__).parents[2] / "deploy" / "external-secrets.yaml"


def test_a_secret_of_a_store_arrives_under_a_name_that_settings_take(
    control_plane: ControlPlane,
) -> None:
    go = {"module": MODULE, "label": "External Secrets", "deadline": time.monotonic() + 120}
    go_builds.go("mod", "download", OPERATOR, **go)
    shipped = go_builds.go("list", "-m", "-f", "{{.Dir}}", OPERATOR, **go).strip()
    control_plane.kubectl("apply", "--server-side", "-f", str(Path(shipped, DEFINITION)))
    crd = "crd/clusterexternalsecrets.external-secrets.io"
    control_plane.kubectl("wait", "--for=condition=Established", crd)
    [given] = yaml.safe_load_all(GIVEN.read_text())

    said = control_plane.kubectl(
        *("apply", "--dry-run=server", "--validate=strict", "-f", "-"), given=json.dumps(given)
    )

    assert "created" in said
    secret = given["spec"]["externalSecretSpec"]
    name, key = secret["target"]["name"], secret["data"][0]["secretKey"]
    found = SETTINGS["secret_variables"].kind.parse(f"PASSWORD={name}/{key}")
    assert found == (SecretVariable(variable="PASSWORD", secret=name, key=key),)
    spec = make_spec(settings=ProductionSpec(secret_variables=found))
    stages = render(spec=spec, config=make_config())
    [labels] = [
        m["metadata"]["labels"]
        for stage in stages
        for m in stage.objects
        if m["kind"] == "Namespace"
    ]
    [chosen] = given["spec"]["namespaceSelectors"][0]["matchExpressions"]
    assert labels[chosen["key"]] in chosen["values"]
