"""What a setting takes, and its one form: parsing a tidied text again changes nothing."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.errors import Invalid
from apps.dataplane.production import (
    NodeRequirement,
    ProductionSpec,
    Size,
    Toleration,
    WorkloadIdentity,
)
from apps.layers.catalogue import GROUPS, SETTINGS, production_of
from apps.layers.kinds.amounts import SizeKind
from apps.layers.kinds.labels import EFFECTS

ROLE = "arn:aws:iam::123456789012:role/airflow/etl"
ALLOWED = f"irsa {ROLE}\nirsa {ROLE}*"
IDENTITY = WorkloadIdentity(kind="irsa", name=ROLE)
CLIENT = "11111111-2222-3333-4444-555555555555"
GSA = "etl@data-prod.iam.gserviceaccount.com"
GOOD = (
    ("scheduler_size", " Extra Large ", "extra-large", Size(cpu_millis=8000, memory_mib=16384)),
    ("scheduler_size", "2.50 cpu,6gib", "2.5 CPU, 6Gi", Size(cpu_millis=2500, memory_mib=6144)),
    ("scheduler_size", "small", "small", None),
    ("scheduler_replicas", "02", "2", 2),
    ("scheduler_disk_gib", "020", "20", 20),
    ("high_availability", "on", "on", True),
    ("node_selector", "b=2\n\n a = 1 ", "a=1\nb=2", (("a", "1"), ("b", "2"))),
    ("tolerations", "gpu\nspot=true:NoSchedule", "gpu\nspot=true:NoSchedule", None),
    (
        "node_affinity",
        "pool in(b,  a,b)\n!spot\nzone  notin (c)\ngpu",
        "gpu\npool in (a, b)\n!spot\nzone notin (c)",
        (
            NodeRequirement(key="gpu", operator="Exists"),
            NodeRequirement(key="pool", operator="In", values=("a", "b")),
            NodeRequirement(key="spot", operator="DoesNotExist"),
            NodeRequirement(key="zone", operator="NotIn", values=("c",)),
        ),
    ),
    ("priority_class", " high ", "high", "high"),
    ("allowed_priority_classes", "low\nhigh\nlow", "high\nlow", ("high", "low")),
    ("workload_identity", f" irsa  {ROLE} ", f"irsa {ROLE}", IDENTITY),
    ("workload_identity", "", "", None),
    ("workload_identity", f"azure {CLIENT}", f"azure {CLIENT}", None),
    ("workload_identity", f"google {GSA}", f"google {GSA}", None),
    ("allowed_workload_identities", f"irsa {ROLE}*\n irsa  {ROLE}", ALLOWED, None),
    ("pod_annotations", "a.org/x=any text = all", "a.org/x=any text = all", None),
    ("quota_cpu", "2.50", "2.5", 2500),
    ("quota_memory", "2048Mi", "2Gi", 2048),
    ("quota_memory", "", "", None),
    ("https_proxy", "http://proxy.test:3128", "http://proxy.test:3128", None),
    ("secret_variables", "B=user-a/k\nA=user-b/k", "A=user-b/k\nB=user-a/k", None),
    ("mounts", "claim/user-d=/mnt/d:rw", "claim/user-d=/mnt/d:rw", None),
    ("statsd_address", "statsd.test:09125", "statsd.test:9125", "statsd.test:9125"),
    ("prometheus_pods", " app = vmagent ", "app=vmagent", (("app", "vmagent"),)),
    ("otel_metrics", "http://o.test:4318", "http://o.test:4318/v1/metrics", None),
    ("otel_traces", " https://o.test/otlp/v1/traces/ ", "https://o.test/otlp/v1/traces", None),
    ("no_proxy", " .a.test, 10.0.0.0/8,.a.test", ".a.test,10.0.0.0/8", None),
)
BAD = (
    ("scheduler_size", "huge", "Choose small, medium"),
    ("scheduler_size", "0.01 CPU, 6Gi", "0.1 to 64 CPU"),
    ("scheduler_replicas", "9", "from 1 to 4"),
    ("scheduler_replicas", "²", "from 1 to 4"),
    ("scheduler_disk_gib", "0", "from 1 to 100"),
    ("dag_processor_disk_gib", "101", "from 1 to 100"),
    ("triggerer_disk_gib", "5Gi", "whole number"),
    ("high_availability", "maybe", "on or off"),
    ("node_selector", "no equals", "one label a line"),
    ("node_selector", "a=1\na=2", "twice"),
    ("node_selector", "a=" + "x" * 64, "at most 63"),
    ("pod_labels", "astro-portal.dev/deployment=other", "reserved"),
    ("pod_labels", "app.kubernetes.io/name=other", "reserved"),
    ("pod_labels", "dag_id=other", "reserved"),
    ("pod_annotations", "a.org/x=two\x07", "cannot be used"),
    ("tolerations", "spot=true:Never", "The effects are"),
    ("tolerations", "node-role.kubernetes.io/control-plane:NoSchedule", "keeps pods away"),
    ("node_affinity", "pool=a", "one requirement a line"),
    ("node_affinity", "pool in ()", "one requirement a line"),
    ("node_affinity", "pool in (a, b c)", "one requirement a line"),
    ("node_affinity", "!pool in (a)", "one requirement a line"),
    ("node_affinity", "pool in (a)) or (b", "one requirement a line"),
    ("node_affinity", "a" * 64, "one requirement a line"),
    ("priority_class", "Not A Name", "no name"),
    ("allowed_priority_classes", "a b", "one name a line"),
    ("workload_identity", ROLE, "is no identity of a cloud"),
    ("workload_identity", f"irsa {ROLE}-*", "A star is for what a cluster allows"),
    ("workload_identity", f"irsa {ROLE}\nirsa {ROLE}", "is no identity of a cloud"),
    ("workload_identity", f"vault {ROLE}", "is no identity of a cloud"),
    ("workload_identity", f"azure {ROLE}", "is no identity of a cloud"),
    ("workload_identity", "google etl@example.org", "is no identity of a cloud"),
    ("allowed_workload_identities", "irsa arn:aws:iam::*:role/etl", "is no identity"),
    ("allowed_workload_identities", "irsa arn:aws:iam::123456789012:role/*/etl", "is no identity"),
    ("allowed_workload_identities", "google etl@*.iam.gserviceaccount.com", "is no identity"),
    ("allowed_workload_identities", "azure *", "is no identity"),
    ("pod_labels", "azure.workload.identity/use=true", "reserved"),
    ("pod_annotations", "eks.amazonaws.com/skip-containers=a", "reserved"),
    ("quota_cpu", "0", "number of CPUs"),
    ("quota_memory", "64", "amount of memory"),
    ("secret_variables", "A=airflow/AIRFLOW__CORE__FERNET_KEY", "begins with user-"),
    ("secret_variables", "PATH=user-a/k", "PATH is reserved"),
    ("secret_variables", "A=user-a/k\nA=user-b/k", "twice"),
    ("secret_variables", "NO_PROXY=user-a/k", "cannot be read from a Secret"),
    ("secret_variables", "no_proxy=user-a/k", "cannot be read from a Secret"),
    ("mounts", "claim/user-d=/opt/portal", "below /mnt"),
    ("mounts", "claim/user-d=/mnt/../usr", "below /mnt"),
    ("mounts", "claim/logs=/mnt/d", "begins with user-"),
    ("mounts", "secret/user-d=/mnt/d:rw", "Only a claim"),
    ("statsd_address", "statsd.test", "host and port"),
    ("http_proxy", "proxy:3128", "URL of a proxy"),
    ("http_proxy", "http://me:secret@proxy.test:3128", "is a secret"),
    ("no_proxy", "a b", "commas"),
    ("otel_metrics", "o.test:4318", "URL of a collector"),
    ("otel_metrics", "http://o.test:99999", "URL of a collector"),
    ("otel_metrics", "http://o.test/a?key=b", "URL of a collector"),
    ("otel_traces", "http://me:secret@o.test:4318", "is a secret"),
)


def test_each_takes_what_is_right_and_writes_it_in_one_form() -> None:
    for name, typed, tidied, value in GOOD:
        setting = SETTINGS[name]
        assert setting.tidy(typed) == tidied, name
        assert setting.tidy(tidied) == tidied, name
        assert value is None or setting.kind.parse(tidied) == value, name


@pytest.mark.parametrize(("name", "typed", "message"), BAD)
def test_each_says_what_would_be_right(name: str, typed: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        SETTINGS[name].tidy(typed)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(SETTINGS)), text=st.text(max_size=40))
def test_whatever_is_typed_is_refused_with_a_sentence_or_means_the_same_again(
    name: str, text: str
) -> None:
    setting = SETTINGS[name]
    sentence = ""
    try:
        tidied = setting.tidy(text)
        setting.kind.parse(tidied)
    except Invalid as error:
        sentence = error.message
    assert sentence.endswith(".") if sentence else setting.tidy(tidied) == tidied


def test_a_toleration_keeps_key_value_and_effect() -> None:
    kind = SETTINGS["tolerations"].kind

    assert kind.parse(f"spot=true:{EFFECTS[0]}\ngpu") == (
        Toleration(key="gpu"),
        Toleration(key="spot", value="true", effect="NoSchedule"),
    )


def test_every_setting_reaches_the_data_plane_and_its_default_is_the_planes() -> None:
    defaults = {name: setting.default for name, setting in SETTINGS.items()}

    assert {field.name for field in fields(ProductionSpec)} == set(SETTINGS)
    assert production_of(defaults) == ProductionSpec()
    assert all(setting.group in GROUPS for setting in SETTINGS.values())
    assert SizeKind.NAMED["small"] is None
