"""The programs of a node: their command lines, and the files that they read."""

import json
from pathlib import Path

import yaml

from tests.cluster.images import PAUSE
from tests.cluster.layout import PORT, Layout

ETCD = "http://127.0.0.1:2379"
ETCD_PEER = "http://127.0.0.1:2380"
DEBIAN_CNI = "/usr/lib/cni"


def etcd(layout: Layout) -> list[str]:
    return [
        str(layout.control / "etcd"),
        "--data-dir=etcd",
        "--unsafe-no-fsync",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        f"--listen-peer-urls={ETCD_PEER}",
        f"--initial-advertise-peer-urls={ETCD_PEER}",
        f"--initial-cluster=default={ETCD_PEER}",
    ]


def api_server(layout: Layout) -> list[str]:
    return [
        str(layout.control / "kube-apiserver"),
        f"--etcd-servers={ETCD}",
        f"--bind-address={layout.address}",
        f"--secure-port={PORT}",
        "--cert-dir=certificates",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=accounts.pub",
        "--service-account-signing-key-file=accounts.key",
        "--token-auth-file=tokens.csv",
        "--authorization-mode=RBAC",
        f"--service-cluster-ip-range={layout.services}",
        "--allow-privileged=true",
        # Nothing here knows the node by its name.
        "--kubelet-preferred-address-types=InternalIP",
        "--requestheader-client-ca-file=front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--proxy-client-cert-file=front-proxy.crt",
        "--proxy-client-key-file=front-proxy.key",
    ]


def controller_manager(layout: Layout) -> list[str]:
    return [
        str(layout.control / "kube-controller-manager"),
        f"--kubeconfig={layout.kubeconfig('controller-manager')}",
        "--service-account-private-key-file=accounts.key",
        f"--root-ca-file={layout.authority}",
        # Each controller with the rights of its own account, as clusters have it.
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
    ]


def scheduler(layout: Layout) -> list[str]:
    return [
        str(layout.control / "kube-scheduler"),
        f"--kubeconfig={layout.kubeconfig('scheduler')}",
        "--leader-elect=false",
        "--secure-port=0",
    ]


def containerd(layout: Layout) -> list[str]:
    """Configure Debian's containerd 1.6 with the plain bridge network of the CNI plugins."""
    registries = f"{REGISTRIES}\nconfig_path = '{layout.registries}'\n"
    _write(layout.folder / "containerd.toml", f"{CONTAINERD}{registries}")
    network = {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": layout.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    _write(Path("/etc/cni/net.d/10-pods.conflist"), json.dumps(network))
    return ["containerd", f"--config={layout.folder / 'containerd.toml'}"]


def kubelet(layout: Layout) -> list[str]:
    _write(layout.folder / "resolv.conf", "")
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": layout.address,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.control_group}",
        "clusterDNS": [layout.address],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1Gi",
            "imagefs.available": "1Gi",
        },
        "failCgroupV1": False,
        "failSwapOn": False,
        # The images were made here: nobody could pull them again.
        "imageGCHighThresholdPercent": 100,
        # One that a mirror served with a password is the same one that was imported.
        "imagePullCredentialsVerificationPolicy": "NeverVerify",
        "makeIPTablesUtilChains": False,
        "resolvConf": str(layout.folder / "resolv.conf"),
    }
    _write(layout.folder / "kubelet.yaml", yaml.safe_dump(settings))
    return [
        str(layout.programs / "kubelet"),
        f"--config={layout.folder / 'kubelet.yaml'}",
        f"--kubeconfig={layout.kubeconfig('node')}",
        f"--hostname-override={layout.name}",
        f"--node-ip={layout.address}",
    ]


def kube_proxy(layout: Layout) -> list[str]:
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": layout.address,
        "clientConnection": {"kubeconfig": str(layout.kubeconfig("node"))},
        "clusterCIDR": layout.pods,
        # Zero leaves the limits of the kernel alone: they belong to the whole machine.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "healthzBindAddress": "127.0.0.1:10256",
        "hostnameOverride": layout.name,
        "metricsBindAddress": "127.0.0.1:10249",
    }
    _write(layout.folder / "kube-proxy.yaml", yaml.safe_dump(settings))
    return [
        str(layout.programs / "kube-proxy"),
        f"--config={layout.folder / 'kube-proxy.yaml'}",
    ]


def coredns(layout: Layout) -> list[str]:
    text = COREFILE.format(
        address=layout.address, server=layout.server, kubeconfig=layout.kubeconfig("node")
    )
    _write(layout.folder / "Corefile", text)
    return [str(layout.programs / "coredns"), "-conf", str(layout.folder / "Corefile")]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# A machine may lack the capability to lower oom_score_adj; without restrict_oom_score_adj no pod
# would start there ("can't get final child's PID from pipe: EOF").
CONTAINERD = f"""
version = 2

[plugins.'io.containerd.grpc.v1.cri']
sandbox_image = '{PAUSE}'
restrict_oom_score_adj = true

[plugins.'io.containerd.grpc.v1.cri'.cni]
bin_dir = '{DEBIAN_CNI}'
conf_dir = '/etc/cni/net.d'

[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]
SystemdCgroup = false
"""
# One folder per registry, read at each pull.
REGISTRIES = "\n[plugins.'io.containerd.grpc.v1.cri'.registry]"
# There is no way out of the node: every other name does not exist.
COREFILE = """
cluster.local in-addr.arpa {{
    bind {address}
    errors
    kubernetes cluster.local in-addr.arpa {{
        endpoint {server}
        kubeconfig {kubeconfig} node
    }}
}}
. {{
    bind {address}
    template ANY ANY . {{
        rcode NXDOMAIN
    }}
}}
"""
