"""Every setting of the portal. Values come from the environment (table in docs/operating.md) or
from PORTAL_HOME.
"""

import os
import secrets
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from csp.constants import NONE, SELF

from apps.core.encryption.crypto import KeyRing
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases
from astro_portal.env import (
    ConfigurationError,
    check_sign_in_key,
    env_bool,
    env_choice,
    env_docs,
    env_int,
    env_list,
    env_networks,
    env_origin,
    env_price,
    env_secret,
    env_str,
    env_support,
    env_url,
    public_sign_in_key,
)

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

# --- Where state lives ---------------------------------------------------------------------------

PORTAL_HOME = Home.from_environment()
HOME_IS_PREPARED = PORTAL_HOME.ports.exists()


def _key_file(name: str) -> str:
    path = PORTAL_HOME.keys / name
    return path.read_text().strip() if path.exists() else ""


# --- Addresses -----------------------------------------------------------------------------------

PORTAL_HOST = env_str("PORTAL_HOST", "127.0.0.1")
_PORTAL_PORT = embedded_databases.portal_port(PORTAL_HOME) if HOME_IS_PREPARED else 8080
_EDGE_PORT = embedded_databases.edge_port(PORTAL_HOME) if HOME_IS_PREPARED else 8081
PORTAL_URL = env_origin("PORTAL_URL", f"http://localhost:{_PORTAL_PORT}")
AIRFLOW_URL = env_origin("PORTAL_AIRFLOW_URL", f"http://localhost:{_EDGE_PORT}")

IS_TLS = PORTAL_URL.startswith("https://")
TRUSTED_PROXY_COUNT = env_int("PORTAL_TRUSTED_PROXIES", 0, minimum=0, maximum=10)
# Where the nearest of them connects from. By default it is on this machine.
TRUSTED_PROXY_NETWORKS = env_networks("PORTAL_TRUSTED_PROXY_NETWORKS") or [
    "127.0.0.0/8",
    "::1/128",
]
ALLOWED_HOSTS = [
    str(urlsplit(PORTAL_URL).hostname),
    *env_list("PORTAL_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"]),
]
CSRF_TRUSTED_ORIGINS = [PORTAL_URL] if IS_TLS else []
if TRUSTED_PROXY_COUNT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- Keys ----------------------------------------------------------------------------------------

DEBUG = env_bool("PORTAL_DEBUG", False)
# A home that was never prepared has no database either: a key for this process alone lets tools
# import settings.
SECRET_KEY = env_secret("PORTAL_SECRET_KEY") or _key_file("secret-key") or secrets.token_urlsafe(50)
_ring = env_secret("PORTAL_ENCRYPTION_KEYS") or _key_file("encryption.json")
try:
    ENCRYPTION_KEYS = KeyRing.from_json(_ring) if _ring else None
except ValueError as error:
    raise ConfigurationError(f"PORTAL_ENCRYPTION_KEYS is wrong. {error}") from None
AIRFLOW_SIGN_IN_KEY = env_secret("PORTAL_AIRFLOW_SIGN_IN_KEY") or _key_file("airflow-sign-in.pem")
check_sign_in_key(AIRFLOW_SIGN_IN_KEY)
# All that a process needs which deploys Airflows and signs no one in.
AIRFLOW_SIGN_IN_PUBLIC_KEY = public_sign_in_key(
    env_secret("PORTAL_AIRFLOW_SIGN_IN_PUBLIC_KEY"), private_pem=AIRFLOW_SIGN_IN_KEY
)
# With it the edge of this machine asks for people's roles; without a home there is no edge.
EDGE_SECRET = _key_file("edge-secret")

# --- Applications --------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.forms",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
    "allauth.idp.oidc",
    "guardian",
    "django_htmx",
    "csp",
    "apps.core",
    "apps.accounts",
    "apps.audit",
    "apps.access",
    "apps.organizations",
    "apps.sso",
    "apps.runtimes",
    "apps.clusters",
    "apps.layers",
    "apps.deployments",
    "apps.image_retention",
    "apps.package_indexes",
    "apps.registry",
    "apps.environment",
    "apps.deploys",
    "apps.airflow_imports",
    "apps.object_stores",
    "apps.backups",
    "apps.hibernation",
    "apps.releases",
    "apps.upgrades",
    "apps.airflow_access",
    "apps.dags",
    "apps.observability",
    "apps.objectives",
    "apps.usage",
    "apps.alerts",
    "apps.webhooks",
    "apps.status_pages",
    "apps.moving",
    "apps.bulk_actions",
    "apps.portal",
]
MIDDLEWARE = [
    "apps.core.web.middleware.BelieveNamedProxies",
    "apps.core.web.middleware.RequestContextMiddleware",
    "apps.api.wire.prefixes.OneApi",
    "apps.api.wire.errors.JsonErrors",
    "apps.core.web.middleware.RefuseUnstorableText",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "apps.core.web.compression.CompressPages",
    "csp.middleware.CSPMiddleware",
    "apps.core.web.middleware.LimitUploads",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "apps.accounts.sessions.middleware.VisitorSessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.accounts.middleware.TimeZoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "apps.accounts.sessions.middleware.SessionLimits",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "apps.core.web.htmx.SignInAgain",
    "allauth.account.middleware.AccountMiddleware",
    "apps.portal.home.recents.NoteRecent",
    "apps.portal.middleware.ExplainMethod",
]
ROOT_URLCONF = "astro_portal.urls"
WSGI_APPLICATION = "astro_portal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.portal.navigation.navigation",
            ],
            "builtins": ["apps.core.templatetags.ui"],
        },
    }
]
FORM_RENDERER = "apps.core.web.forms.Renderer"

# --- Streams -------------------------------------------------------------------------------------

# Whether pages try to have changes and log lines as they happen, which needs `manage.py live`.
# Without it they poll.
HAS_STREAMS = env_bool("PORTAL_STREAMS", True)

# --- Data ----------------------------------------------------------------------------------------

_UNPREPARED = "postgresql://unprepared@127.0.0.1:1/unprepared"
_database_url = env_url(
    "DATABASE_URL",
    embedded_databases.database_url(PORTAL_HOME) if HOME_IS_PREPARED else _UNPREPARED,
    schemes=("postgres", "postgresql"),
    example="postgresql://user:password@host/name",
)
_database = dj_database_url.parse(_database_url)
# A lock that is held for long fails the request (503: try again) instead of blocking web threads.
_LOCKS = {"options": "-c lock_timeout=10s"}
# A server that goes without a word, with its machine or behind a firewall, is given up within a
# minute instead of hours. Seconds, and milliseconds.
_SILENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
DATABASES = {
    "default": {
        **_database,
        "ENGINE": "apps.core.database",
        "OPTIONS": {**_LOCKS, **_SILENCE, **_database.get("OPTIONS", {})},
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }
}
REDIS_URL = env_url(
    "REDIS_URL",
    embedded_databases.redis_url(PORTAL_HOME) if HOME_IS_PREPARED else "redis://127.0.0.1:1/0",
    schemes=("redis", "rediss"),
    example="redis://:password@host:6379/0",
)
# The cache only saves work: without it a page reads the session from the database.
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "portal",
        "OPTIONS": {
            "IGNORE_EXCEPTIONS": True,
            # Loading a pickle can run code, and code of DAGs can reach this server.
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_CONNECT_TIMEOUT": 0.5,
            "SOCKET_TIMEOUT": 0.5,
        },
    },
    # What a list needs for each poll and may be a minute old: to ask Valkey costs a page as much as
    # a query.
    "process": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "process"},
}
STORAGES = {
    "default": {
        "BACKEND": "apps.deploys.deliveries.storage.ArchiveStorage",
        "OPTIONS": {
            "location": PORTAL_HOME.bundles,
            "directory_permissions_mode": 0o700,
        },
    },
    # Files of this machine: PostgreSQL's programs write and read them.
    "backups": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": env_str("PORTAL_BACKUP_FOLDER", str(PORTAL_HOME.path / "backups")),
            "directory_permissions_mode": 0o700,
        },
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
STATIC_URL = "/static/"
STATIC_ROOT = PORTAL_HOME.path / "static"
STATICFILES_DIRS = [BASE_DIR / "static", ("docs", BASE_DIR / "docs" / "images")]
# Code archives reach this size; larger ones are refused while they stream in.
CODE_ARCHIVE_MAX_BYTES = env_int("PORTAL_CODE_MAX_MIB", 50, minimum=1, maximum=1024) * 1024 * 1024

# --- Git ------------------------------------------------------------------------------------------

# Where git servers may lie besides the public internet and private ranges.
GIT_NETWORKS = env_networks("PORTAL_GIT_NETWORKS")
# Certificates (PEM) of private CAs that sign those of git servers.
GIT_CA = env_secret("PORTAL_GIT_CA")
GIT_POLL_SECONDS = env_int("PORTAL_GIT_POLL_SECONDS", 60, minimum=10, maximum=86_400)
# How many repositories are looked at side by side. A worker does it, so fewer than its processes.
GIT_JOBS = env_int("PORTAL_GIT_JOBS", 1, minimum=1, maximum=64)

# --- Package indexes ------------------------------------------------------------------------------

# Where package indexes of people may lie besides the public internet and private ranges.
PACKAGE_INDEX_NETWORKS = tuple(env_networks("PORTAL_PACKAGE_INDEX_NETWORKS"))

# --- Buckets --------------------------------------------------------------------------------------

# Where S3-compatible servers of people may lie besides the public internet and private ranges.
BUCKET_NETWORKS = tuple(env_networks("PORTAL_BUCKET_NETWORKS"))
BUCKETS_ALLOW_HTTP = False

# --- Airflows from elsewhere ----------------------------------------------------------------------

# Where their databases may lie besides the public internet and private ranges.
IMPORT_NETWORKS = tuple(env_networks("PORTAL_IMPORT_NETWORKS"))
# Dumps reach this size; larger ones are refused while they stream in.
IMPORT_MAX_BYTES = env_int("PORTAL_IMPORT_MAX_MIB", 4_096, minimum=1, maximum=1_048_576) * 1024**2

# --- Registry -------------------------------------------------------------------------------------

# The container registry that believes this portal's tokens, as clients name it: host and port.
REGISTRY = env_str("PORTAL_REGISTRY", "")
# Where registries of images may lie besides the public internet and private ranges.
REGISTRY_NETWORKS = tuple(env_networks("PORTAL_REGISTRY_NETWORKS"))
# Days after which an image in the portal's registry that nothing names is removed; 0 keeps them.
REGISTRY_IMAGE_DAYS = env_int("PORTAL_REGISTRY_IMAGE_DAYS", 30, minimum=0, maximum=3_650)
# Certificates (PEM) of private CAs that sign those of registries.
REGISTRY_CA = env_secret("PORTAL_REGISTRY_CA")
REGISTRIES_ALLOW_HTTP = False

# --- Documentation --------------------------------------------------------------------------------

# Where help leads: to the pages of this version that the portal has itself, or to a site of them.
DOCS_URL = env_docs("PORTAL_DOCS_URL", "/docs/")
# Where people report problems: an email address, or the https address of a tracker.
SUPPORT = env_support("PORTAL_SUPPORT")
DOCS_FOLDER = BASE_DIR / "docs"
DOCS_CONFIGURATION = BASE_DIR / "mkdocs.yml"

# --- API ------------------------------------------------------------------------------------------

# How many calls one token may make in a minute; 0 is unlimited.
API_CALLS_PER_MINUTE = env_int("PORTAL_API_CALLS_PER_MINUTE", 1_200, minimum=0, maximum=1_000_000)

# --- Data planes ---------------------------------------------------------------------------------

# By name: a portal without Kubernetes clusters never imports the client.
DATA_PLANES = {
    "local": "astro_portal.planes.local",
    "kubernetes": "apps.dataplane.kubernetes.plane.KubernetesPlane",
}
# What reads Airflows from elsewhere, as `dataplane.imports.preparing.import_database` does.
IMPORT_READER = "apps.dataplane.imports.preparing.import_database"
# Where it works, one at a time, and how much may lie there.
IMPORT_FOLDER = env_str("PORTAL_IMPORT_FOLDER", str(PORTAL_HOME.path / "imports"))
IMPORT_SCRATCH_BYTES = env_int("PORTAL_IMPORT_SCRATCH_MIB", 0, minimum=0) * 1024**2
# Where accepted feeds of runtimes lie, and the locks of those that were tested here.
RUNTIME_FOLDER = env_str("PORTAL_RUNTIME_FOLDER", str(PORTAL_HOME.path / "runtime-feed"))
# A signed feed of runtimes: an https address, or a file for sites without internet.
RUNTIME_FEED = env_str("PORTAL_RUNTIME_FEED", "")
# The Ed25519 public keys (PEM, one or more) that sign the feed.
RUNTIME_FEED_KEYS = env_secret("PORTAL_RUNTIME_FEED_KEYS")
# Whether the package index is asked for new releases of Airflow, which are then tested here.
RUNTIME_WATCH = env_bool("PORTAL_RUNTIME_WATCH", True)
PACKAGE_INDEX = env_str("PORTAL_PACKAGE_INDEX_URL", os.environ.get("UV_DEFAULT_INDEX", ""))
# Known vulnerabilities of packages, in OSV form: a JSON list, or one record a line.
OSV_FILE = env_str("PORTAL_OSV_FILE", "")
# Where the feed and the index may lie besides the public internet and private ranges.
RUNTIME_NETWORKS = tuple(env_networks("PORTAL_RUNTIME_NETWORKS"))
# Off where the portal itself runs on Kubernetes: a pod is no machine to run Airflows on.
HAS_LOCAL_PLANE = env_bool("PORTAL_LOCAL_PLANE", True)
# Where clusters may lie besides the public internet and private ranges.
CLUSTER_NETWORKS = env_networks("PORTAL_CLUSTER_NETWORKS")
# Who the portal is at AWS, for people to name in trust policies. Empty: no roles are assumed.
AWS_PRINCIPAL = env_str("PORTAL_AWS_PRINCIPAL", "")
# The same at Azure (a client id) and Google (an email), and which organizations may use it there.
AZURE_PRINCIPAL = env_str("PORTAL_AZURE_PRINCIPAL", "")
AZURE_ORGANIZATIONS = tuple(env_list("PORTAL_AZURE_ORGANIZATIONS"))
GOOGLE_PRINCIPAL = env_str("PORTAL_GOOGLE_PRINCIPAL", "")
GOOGLE_ORGANIZATIONS = tuple(env_list("PORTAL_GOOGLE_ORGANIZATIONS"))
# On clusters a new worker may need a new machine, so idle ones stay longer than here.
CLUSTER_SCALE_DOWN_SECONDS = env_int(
    "PORTAL_CLUSTER_SCALE_DOWN_SECONDS", 300, minimum=30, maximum=86_400
)
# How long logs are kept, here and on clusters; the keeper of this machine reads the variables.
TASK_LOG_DAYS = env_int("PORTAL_TASK_LOG_DAYS", 30, minimum=1, maximum=3_650)
PARSE_LOG_HOURS = env_int("PORTAL_PARSE_LOG_HOURS", 24, minimum=1, maximum=8_760)
# The keeper reads them; a wrong value is reported here, before anything starts.
env_int("PORTAL_SCALE_DOWN_SECONDS", 30, minimum=1, maximum=86_400)
env_int("PORTAL_HISTORY_DAYS", 365, minimum=0, maximum=3_650)

# --- Jobs ----------------------------------------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": "portal:",
    "visibility_timeout": 300,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # Workers empty the queues in the order in which their command names them.
    "queue_order_strategy": "priority",
}
# An edit must not wait for a broker that does not answer: the sweeper finds the row anyway.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Without it Celery closes the database connection after every job, which outlasts most jobs.
CELERY_DB_REUSE_MAX = 10_000
CELERY_TASK_SOFT_TIME_LIMIT = 45
CELERY_TASK_TIME_LIMIT = 50
# Of each process that does jobs. One that once had half of it is replaced after its job.
WORKER_MEMORY_MB = env_int("PORTAL_WORKER_MEMORY_MB", 512, minimum=384, maximum=65_536)
CELERY_WORKER_MAX_MEMORY_PER_CHILD = WORKER_MEMORY_MB * 1024 // 2
CELERY_TASK_DEFAULT_QUEUE = "background"
# Workers and watches touch it while they work; for probes.
HEARTBEAT_FILE = env_str("PORTAL_HEARTBEAT_FILE", "")
# Into how many queues the passes are divided, by cluster. Each needs a worker: operating.md.
RECONCILE_SHARDS = env_int("PORTAL_SHARDS", 1, minimum=1, maximum=64)
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "sweep": {
        "task": "apps.deployments.tasks.sweep",
        "schedule": timedelta(seconds=2),
        "options": {"expires": 10, "queue": "interactive"},
    },
    "sweep-dags": {
        "task": "apps.dags.tasks.sweep",
        "schedule": timedelta(minutes=1),
        "options": {"expires": 60},
    },
    "sweep-imports": {
        "task": "apps.airflow_imports.tasks.sweep_imports",
        "schedule": timedelta(seconds=30),
        "options": {"expires": 30},
    },
    "sweep-backups": {
        "task": "apps.backups.tasks.sweep_backups",
        "schedule": timedelta(seconds=30),
        "options": {"expires": 30},
    },
    "turn-hibernation": {
        "task": "apps.hibernation.tasks.sweep",
        "schedule": timedelta(seconds=15),
        "options": {"expires": 15, "queue": "interactive"},
    },
    "hibernate-idle": {
        "task": "apps.hibernation.tasks.sweep_idle",
        "schedule": timedelta(minutes=5),
        "options": {"expires": 240},
    },
    "watch-releases": {
        "task": "apps.releases.tasks.watch",
        "schedule": timedelta(minutes=10),
        "options": {"expires": 300},
    },
    "continue-release-trial": {
        "task": "apps.releases.tasks.continue_trial",
        "schedule": timedelta(seconds=30),
        "options": {"expires": 20},
    },
    "sweep-upgrades": {
        "task": "apps.upgrades.tasks.sweep_upgrades",
        "schedule": timedelta(seconds=5),
        "options": {"expires": 5},
    },
    "sweep-bulk-actions": {
        "task": "apps.bulk_actions.tasks.sweep",
        "schedule": timedelta(seconds=5),
        "options": {"expires": 5},
    },
    "remove-old-bulk-actions": {
        "task": "apps.bulk_actions.tasks.remove_old",
        "schedule": timedelta(days=1),
    },
    "remove-unwanted-objects": {
        "task": "apps.object_stores.tasks.remove_unwanted_objects",
        "schedule": timedelta(minutes=5),
        "options": {"expires": 300},
    },
    "sweep-backup-files": {
        "task": "apps.backups.tasks.sweep_backup_files",
        "schedule": timedelta(days=1),
    },
    "sweep-drafts": {
        "task": "apps.deployments.tasks.sweep_drafts",
        "schedule": timedelta(days=1),
    },
    "sweep-links-and-mail": {
        "task": "apps.accounts.tasks.sweep_links_and_mail",
        "schedule": timedelta(hours=1),
        "options": {"expires": 3600},
    },
    "sweep-organizations": {
        "task": "apps.organizations.tasks.sweep_leftovers",
        "schedule": timedelta(days=1),
    },
    "sweep-roles": {
        "task": "apps.organizations.tasks.sweep_roles",
        "schedule": timedelta(minutes=1),
        "options": {"expires": 60},
    },
    "renew-cluster-tokens": {
        "task": "apps.clusters.tasks.renew_cluster_tokens",
        "schedule": timedelta(minutes=1),
        "options": {"expires": 60},
    },
    "sweep-kept-secrets": {
        "task": "apps.clusters.tasks.sweep_kept_secrets",
        "schedule": timedelta(minutes=15),
        "options": {"expires": 900},
    },
    "sweep-assertions": {
        "task": "apps.sso.tasks.sweep_assertions",
        "schedule": timedelta(days=1),
    },
    "sweep-previews": {
        "task": "apps.deploys.tasks.sweep_previews",
        "schedule": timedelta(seconds=30),
        "options": {"expires": 30},
    },
    "begin-deploys": {
        "task": "apps.deploys.tasks.begin_deploys",
        "schedule": timedelta(seconds=5),
        "options": {"expires": 10},
    },
    "sweep-archives": {
        "task": "apps.deploys.tasks.sweep_archives",
        "schedule": timedelta(days=1),
    },
    "sweep-images": {
        "task": "apps.image_retention.tasks.sweep_images",
        "schedule": timedelta(days=1),
    },
    "sweep-pushed-images": {
        "task": "apps.image_retention.tasks.sweep_pushed_images",
        "schedule": timedelta(days=1),
    },
    "sweep-git": {
        "task": "apps.deploys.git.tasks.sweep",
        "schedule": timedelta(seconds=5),
        "options": {"expires": 10},
    },
    "follow-branches": {
        "task": "apps.deploys.tasks.follow_branches",
        "schedule": timedelta(seconds=30),
        "options": {"expires": 30},
    },
    "report-commits": {
        "task": "apps.deploys.tasks.report_commits",
        "schedule": timedelta(seconds=10),
        "options": {"expires": 10},
    },
    "evaluate-incidents": {
        "task": "apps.observability.tasks.evaluate_incidents",
        "schedule": timedelta(seconds=30),
        "options": {"expires": 30},
    },
    "sweep-incidents": {
        "task": "apps.observability.tasks.sweep_incidents",
        "schedule": timedelta(days=1),
    },
    "pack-history": {
        "task": "apps.observability.tasks.pack_history",
        "schedule": timedelta(minutes=2),
        "options": {"expires": 120},
    },
    "send-measurements": {
        "task": "apps.observability.tasks.send_measurements",
        "schedule": timedelta(seconds=15),
        "options": {"expires": 15},
    },
    "forget-history": {
        "task": "apps.observability.tasks.forget_history",
        "schedule": timedelta(hours=6),
    },
    "sweep-alerts": {
        "task": "apps.alerts.tasks.sweep_alerts",
        "schedule": timedelta(hours=6),
    },
    "send-digests": {
        "task": "apps.portal.tasks.send_digests",
        "schedule": timedelta(minutes=5),
        "options": {"expires": 300},
    },
    "sum-usage": {
        "task": "apps.usage.tasks.sum_usage",
        "schedule": timedelta(hours=1),
    },
    "count-objectives": {
        "task": "apps.objectives.tasks.count_objectives",
        "schedule": timedelta(minutes=10),
        "options": {"expires": 600},
    },
    "sweep-webhooks": {
        "task": "apps.webhooks.tasks.sweep_webhooks",
        "schedule": timedelta(hours=6),
    },
    "sweep-status-pages": {
        "task": "apps.status_pages.tasks.sweep_status_pages",
        "schedule": timedelta(hours=6),
    },
    "sweep-audit-events": {
        "task": "apps.audit.tasks.sweep_events",
        "schedule": timedelta(days=1),
    },
}

# --- History --------------------------------------------------------------------------------------

# How many days measurements are kept: each of 30 seconds, of 5 minutes, of an hour.
HISTORY_RAW_DAYS = env_int("PORTAL_METRICS_RAW_DAYS", 14, minimum=1, maximum=366)
HISTORY_FINE_DAYS = env_int("PORTAL_METRICS_FINE_DAYS", 90, minimum=1, maximum=3_660)
HISTORY_COARSE_DAYS = env_int("PORTAL_METRICS_DAYS", 731, minimum=1, maximum=36_600)

# How many days the ends of single runs and tasks are kept, of which alerts are made.
RESULT_DAYS = env_int("PORTAL_RESULT_DAYS", 8, minimum=3, maximum=90)

# What an hour of a worker costs, and in which currency; without it usage shows hours alone.
WORKER_HOUR_PRICE = env_price("PORTAL_WORKER_HOUR_PRICE")
CURRENCY = env_str("PORTAL_CURRENCY", "EUR")[:8]

# --- Audit log ------------------------------------------------------------------------------------

# How long events are kept; 0 is unlimited. A limit of half a century finds typing mistakes.
AUDIT_RETENTION_DAYS = env_int("AUDIT_RETENTION_DAYS", 0, minimum=0, maximum=18_250)

# --- Incidents ------------------------------------------------------------------------------------

# How long closed incidents are kept.
INCIDENT_DAYS = env_int("PORTAL_INCIDENT_DAYS", 365, minimum=1, maximum=3_650)

# --- Alerts ---------------------------------------------------------------------------------------

# Networks that messages go to although the portal would not connect there, like 127.0.0.0/8.
ALERT_NETWORKS = tuple(env_list("PORTAL_ALERT_NETWORKS"))
ALERTS_ALLOW_HTTP = False
# How long closed alerts and their messages are kept.
ALERT_DAYS = env_int("PORTAL_ALERT_DAYS", 90, minimum=1, maximum=3_650)

# Loops that run in threads beside the collector, by name: the collector knows none of them.
COLLECT_WITH = [
    "apps.alerts.notifier.Notifier",
    "apps.webhooks.sender.WebhookSender",
    "apps.status_pages.reporter.Reporter",
    "apps.status_pages.sender.ReceiverSender",
]
# On one machine the clock of the jobs is beside the collector, too.
CLOCK = "astro_portal.beat.Clock"

# --- Status pages ---------------------------------------------------------------------------------

# Host names that status pages may have for their own, besides the portal's.
STATUS_HOSTS = [host.lower() for host in env_list("PORTAL_STATUS_HOSTS")]
# Where copies of public pages are written for another web server; empty for nowhere.
STATUS_FOLDER = env_str("PORTAL_STATUS_FOLDER", "")
# How many mails a minute leave for subscribers: what the mail server takes.
STATUS_MAILS_PER_MINUTE = env_int("PORTAL_STATUS_MAILS_PER_MINUTE", 6_000, minimum=1, maximum=6_000)
# Networks that visitors' webhooks may be in besides public ones, like 10.0.0.0/8.
STATUS_NETWORKS = tuple(env_networks("PORTAL_STATUS_NETWORKS"))

# --- People --------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "allauth.account.auth_backends.AuthenticationBackend",
    "apps.access.backend.RoleBackend",
]
ANONYMOUS_USER_NAME = None
GUARDIAN_MONKEY_PATCH_USER = False
# apps.access.backend answers instead of guardian's own: a role is a permission row there.
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "name")},
    },
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "apps.sso.sign_in.adapter.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "apps.sso.sign_in.adapter.SSOAdapter"
# An identity provider is trusted for verified domains only; `apps.sso.sign_in.admission` checks
# them.
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_LOGIN_ON_GET = False
# Networks of identity providers that the portal would not connect to otherwise, like 127.0.0.0/8.
SSO_NETWORKS = tuple(env_list("PORTAL_SSO_NETWORKS"))
SSO_ALLOWS_HTTP = False
# Certificates (PEM) of private CAs that sign those of identity providers' servers.
SSO_CA = env_secret("PORTAL_SSO_CA")
DNS_SERVERS = env_list("PORTAL_DNS_SERVERS")
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_USER_MODEL_EMAIL_FIELD = "email"
# Accounts come from an invitation or a sign-in link, both of which prove the address.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_PREVENT_ENUMERATION = True
# Otherwise anyone could make the portal send mail to any address.
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
# Mail about changed passwords and second factors.
ACCOUNT_EMAIL_NOTIFICATIONS = True

# Changes of members, roles and second factors need a sign-in or a confirmation within this time.
ACCOUNT_REAUTHENTICATION_TIMEOUT = int(timedelta(minutes=15).total_seconds())

# Programs that people sign in through the browser (apps/api/oauth). A program that is not used for
# the time of a refresh token is signed out.
IDP_OIDC_ADAPTER = "apps.api.oauth.adapter.Adapter"
IDP_OIDC_ACCESS_TOKEN_EXPIRES_IN = int(timedelta(hours=1).total_seconds())
IDP_OIDC_REFRESH_TOKEN_EXPIRES_IN = int(timedelta(days=14).total_seconds())
IDP_OIDC_DEVICE_CODE_EXPIRES_IN = int(timedelta(minutes=10).total_seconds())
IDP_OIDC_RATE_LIMITS = {"device_code": "10/m/ip"}

MFA_ADAPTER = "apps.accounts.two_factor.adapter.SecondFactorAdapter"
MFA_FORMS = {
    "add_webauthn": "apps.accounts.two_factor.forms.AddPasskeyForm",
    "authenticate": "apps.accounts.two_factor.forms.CodeForm",
    "reauthenticate": "apps.accounts.two_factor.forms.CodeAgainForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "Astro Portal"
# The invitation or link that made the account proved its address.
MFA_ALLOW_UNVERIFIED_EMAIL = True

SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
SESSION_IDLE_LIMIT = timedelta(
    hours=env_int("PORTAL_SESSION_IDLE_HOURS", 12, minimum=1, maximum=24 * 14)
)
SESSION_ABSOLUTE_LIMIT = timedelta(days=env_int("PORTAL_SESSION_DAYS", 14, minimum=1, maximum=90))
# Of a visitor who has not signed in: what a sign-in in several steps needs to remember.
SESSION_VISITOR_LIMIT = timedelta(hours=1)
SESSION_COOKIE_AGE = int(SESSION_ABSOLUTE_LIMIT.total_seconds())
SESSION_COOKIE_NAME = "__Host-sessionid" if IS_TLS else "sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken" if IS_TLS else "csrftoken"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_TLS
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "apps.portal.views.errors.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# --- Mail ----------------------------------------------------------------------------------------

EMAIL_HOST = env_str("EMAIL_HOST", "")
EMAIL_PORT = env_int("EMAIL_PORT", 587, minimum=1, maximum=65535)
EMAIL_HOST_USER = env_str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env_secret("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env_bool("EMAIL_USE_TLS", True)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env_str(
    "DEFAULT_FROM_EMAIL", f"Astro Portal <portal@{urlsplit(PORTAL_URL).hostname}>"
)
EMAIL_BACKEND = (
    "django.core.mail.backends.smtp.EmailBackend"
    if EMAIL_HOST
    else "apps.accounts.mail.PageBackend"
)

# --- Security ------------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        # Streams are read at the address of the Airflows.
        "connect-src": [SELF, AIRFLOW_URL],
        "manifest-src": [SELF],
        "form-action": [SELF, AIRFLOW_URL],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if IS_TLS else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
# The form of a Deployment has six fields for each of at most 500 variables.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 4_000
# Half of the threads of a web process: pages go on while code is uploaded.
UPLOADS_AT_ONCE = 4
# What a page takes, where it is not as much as code may have.
UPLOAD_MAX_BYTES = {
    "airflow_imports:new": IMPORT_MAX_BYTES,
    "api:operations:import_dump": IMPORT_MAX_BYTES,
}
FILE_UPLOAD_HANDLERS = ["apps.deploys.uploading.uploads.CodeUploadHandler"]

# --- Words and times -----------------------------------------------------------------------------

# There is one language: looking for words and formats of others is a tenth of drawing a page.
LANGUAGE_CODE = "en-us"
USE_I18N = False
NUMBER_GROUPING = 3
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "apps.core.logs.LineFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {
        "handlers": ["console"],
        "level": env_choice(
            "PORTAL_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        ),
    },
    # The sweep runs every two seconds, and each of these would write a line about it.
    "loggers": {
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        # They repeat what the vendor answered; the portal says it in a sentence.
        "azure": {"level": "ERROR"},
        "google.auth": {"level": "ERROR"},
    },
}
