"""A real Kubernetes control plane as tests see it."""

import json
import subprocess
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from apps.dataplane.kubernetes.config import Connection
from tests.kubernetes import assets


class ControlPlane:
    """A control plane that runs: `connection` may do everything, and so may `kubectl`."""

    def __init__(self, folder: Path, connection: Connection) -> None:
        self.folder = folder
        self.connection = connection
        self.kubeconfig = folder / "admin.kubeconfig"

    def connection_with(self, *, token: str) -> Connection:
        """Return a connection as somebody else."""
        return replace(self.connection, token=token, client_certificate="", client_key="")

    def connection_by_certificate(self, name: str) -> Connection:
        """Return a connection with the client certificate that is `valid` or `expired`."""
        return replace(
            self.connection,
            token="",
            client_certificate=(self.folder / f"{name}.crt").read_text(),
            client_key=(self.folder / f"{name}.key").read_text(),
        )

    def kubectl(self, *arguments: str, given: str = "", may_fail: bool = False) -> str:
        """Run kubectl with `given` as its input; return what it printed, both streams if it may
        fail.
        """
        done = subprocess.run(
            [str(assets.find("kubectl")), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode and not may_fail:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout + done.stderr if may_fail else done.stdout

    def objects(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """Return what kubectl gets."""
        answer = json.loads(self.kubectl("get", kind, "-n", namespace, "-o", "json"))
        return answer["items"]

    def exists(self, *arguments: str) -> bool:
        """Say whether `kubectl get` finds it."""
        return bool(self.kubectl("get", *arguments, "--ignore-not-found", "-o", "name").strip())

    def create(self, *manifests: dict[str, Any]) -> None:
        """Create objects; `v1` need not be said."""
        items = [{"apiVersion": "v1", **manifest} for manifest in manifests]
        listed = {"apiVersion": "v1", "kind": "List", "items": items}
        self.kubectl("create", "-f", "-", given=json.dumps(listed))

    def service_account(self, name: str, *, rules: list[dict[str, Any]], lasts: str = "24h") -> str:
        """Make a service account that may do these rules in the whole cluster; return a token."""
        role = {"kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
        objects = [
            {"apiVersion": "rbac.authorization.k8s.io/v1", **role},
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": name, "namespace": "default"},
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": name,
                },
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
            },
        ]
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("apply", "-f", "-", given=json.dumps(listed))
        return self.token_of(name, lasts=lasts)

    def token_of(self, service_account: str, *, lasts: str = "24h") -> str:
        return self.kubectl("create", "token", service_account, f"--duration={lasts}").strip()


def kubeconfig(connection: Connection) -> str:
    """Write a kubeconfig with nothing but inline data."""
    ca = b64encode(connection.ca_certificate.encode()).decode()

    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [
                {
                    "name": "tests",
                    "cluster": {
                        "server": connection.server,
                        "certificate-authority-data": ca,
                    },
                }
            ],
            "users": [{"name": "tests", "user": {"token": connection.token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        }
    )
