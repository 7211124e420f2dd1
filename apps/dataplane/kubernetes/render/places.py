"""Paths inside a pod."""

PLUGINS = "/opt/portal/plugins"
PROGRAMS = "/opt/portal/programs"
# Beside the programs, which all pods have that reach the database.
DATABASE_CA = f"{PROGRAMS}/database-ca.pem"
EXAMPLES = "/opt/portal/example_dags"
PUBLIC_KEY = "/opt/portal/sign-in/public-key.pem"
ENVIRONMENT = "/opt/portal/environment/objects.json"
TIMEKEEPING = "/opt/portal/timekeeping"
CA_BUNDLE = "/opt/portal/trust/ca-bundle.pem"
POD_TEMPLATE = "/opt/portal/pod-template/pod.yaml"

CODE_SLOTS = "/opt/portal/code-slots"
# The pod's own state: which code is the current one.
CODE_STATE = "/opt/portal/code-state"
# Renewed by a worker that hears from the broker.
WORKER_ALIVE = f"{CODE_STATE}/worker-alive"

# On the claim that all pods share, or a folder of the pod's own where logs go to an object store.
KEPT = "/opt/portal/kept"
CODE_VERSIONS = f"{KEPT}/code"
TASK_LOGS = f"{KEPT}/logs"

# What the dag-processor logs about every DAG file, at each parse.
PARSE_LOGS = "/opt/portal/parse-logs"

# Where the portal's own programs may write.
SCRATCH = "/tmp"  # noqa: S108 - inside the pod
