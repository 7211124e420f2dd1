"""What people run with kubectl to give the portal its account in a cluster."""

from apps.dataplane.kubernetes.registration import permissions

ROLE_FILE = "astro-portal-role.yaml"
KUBECONFIG_COMMAND = "kubectl config view --raw --minify --flatten"
COMMANDS = (
    ("Create the account, its permissions and a token", f"kubectl apply -f {ROLE_FILE}"),
    (
        "Token",
        f"kubectl -n {permissions.NAMESPACE} get secret {permissions.TOKEN_SECRET} "
        "-o jsonpath='{.data.token}' | base64 -d",
    ),
    (
        "CA certificate",
        f"kubectl -n {permissions.NAMESPACE} get secret {permissions.TOKEN_SECRET} "
        "-o jsonpath='{.data.ca\\.crt}' | base64 -d",
    ),
    (
        "Address",
        "kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}'",
    ),
)
