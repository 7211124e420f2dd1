"""What a cluster brings besides Kubernetes itself: storage for claims, and network policies that
hold. One program, which looks once a second.

Started by `init.py` as `python -m tests.cluster.controllers <layout>`.
"""

import json
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.layout import Layout
from tests.cluster.network_policies import nftables_rules
from tests.kubernetes.go_builds import say

STORAGE_CLASS = "standard"
PAUSE_SECONDS = 1
Object = dict[str, Any]


class Api:
    """The little of the Kubernetes API that is needed here."""

    def __init__(self, layout: Layout) -> None:
        config = yaml.safe_load(layout.kubeconfig("admin").read_text())
        self._server = layout.server
        self._token = config["users"][0]["user"]["token"]
        context = ssl.create_default_context(cafile=layout.authority)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def call(self, method: str, path: str, body: Object | None = None) -> Object:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(
            self._server + path, data=data, headers=headers, method=method
        )
        with self._opener.open(request, timeout=10) as response:
            answer: Object = json.load(response)
        return answer

    def items(self, path: str) -> list[Object]:
        found: list[Object] = self.call("GET", path)["items"]
        return found


def main(layout: Layout) -> None:
    api, rules = Api(layout), ""
    has_class = False
    while True:
        try:
            has_class = has_class or _make_storage_class(api)
            _provide_volumes(api, layout.folder / "volumes")
            _remove_volumes(api)
            rules = _enforce_policies(api, rules)
        except (OSError, KeyError, subprocess.CalledProcessError) as error:
            say(f"Looked in vain: {error!r}")
        time.sleep(PAUSE_SECONDS)


def _make_storage_class(api: Api) -> bool:
    path = "/apis/storage.k8s.io/v1/storageclasses"
    if any(item["metadata"]["name"] == STORAGE_CLASS for item in api.items(path)):
        return True
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    metadata = {"name": STORAGE_CLASS, "annotations": annotations}
    api.call("POST", path, {"metadata": metadata, "provisioner": "astro-portal.test/folder"})
    return True


def _provide_volumes(api: Api, folder: Path) -> None:
    """Give each waiting claim a folder, as a local volume: fsGroup is not applied to hostPath."""
    for claim in api.items("/api/v1/persistentvolumeclaims"):
        spec, metadata = claim["spec"], claim["metadata"]
        is_ours = spec.get("storageClassName") == STORAGE_CLASS
        if not is_ours or spec.get("volumeName") or claim["status"].get("phase") != "Pending":
            continue
        name = f"pvc-{metadata['uid']}"
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o777)
        linux = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
        reference = {key: metadata[key] for key in ("namespace", "name", "uid")}
        volume = {
            "metadata": {"name": name},
            "spec": {
                "accessModes": spec["accessModes"],
                "capacity": spec["resources"]["requests"],
                "claimRef": reference,
                "local": {"path": str(place)},
                "nodeAffinity": {
                    "required": {"nodeSelectorTerms": [{"matchExpressions": [linux]}]}
                },
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": STORAGE_CLASS,
            },
        }
        try:
            api.call("POST", "/api/v1/persistentvolumes", volume)
        except urllib.error.HTTPError as error:
            # Made a second ago, and not bound yet.
            if error.code != 409:
                raise


def _remove_volumes(api: Api) -> None:
    for volume in api.items("/api/v1/persistentvolumes"):
        spec = volume["spec"]
        is_ours = spec.get("storageClassName") == STORAGE_CLASS and "local" in spec
        if is_ours and volume["status"].get("phase") in ("Released", "Failed"):
            shutil.rmtree(spec["local"]["path"], ignore_errors=True)
            api.call("DELETE", f"/api/v1/persistentvolumes/{volume['metadata']['name']}")


def _enforce_policies(api: Api, present: str) -> str:
    wanted = nftables_rules(
        pods=api.items("/api/v1/pods"),
        namespaces=api.items("/api/v1/namespaces"),
        policies=api.items("/apis/networking.k8s.io/v1/networkpolicies"),
    )
    if wanted != present:
        subprocess.run(["nft", "-f", "-"], input=wanted, text=True, check=True)
    return wanted


if __name__ == "__main__":
    main(Layout.from_json(sys.argv[1]))
