"""The watcher process, and the memory of one that keeps everything, as programs to be measured.

    python -m bench.watching_process watch | keep CLUSTER_ID

Each prints a line of JSON every second: MiB, and of `watch` the lags of what it wrote since.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator

import django
import psutil

django.setup()

from apps.clusters.connections.planes import config_for  # noqa: E402 - models need the setup
from apps.clusters.models import Cluster  # noqa: E402 - after django.setup()
from apps.dataplane.kubernetes.api.client import Api  # noqa: E402 - after django.setup()
from apps.dataplane.kubernetes.observe.objects.snapshots import WATCHED, selection  # noqa: E402 - after django.setup()
from apps.dataplane.status import Observation  # noqa: E402 - after django.setup()
from apps.deployments.reconciling import surveys  # noqa: E402 - after django.setup()
from apps.observability.watching.watchers import Watchers  # noqa: E402 - after django.setup()

Looks = Iterator[tuple[str, Observation, float]]


class MeasuredWatchers(Watchers):
    """Watchers that measure how long each observation waited until it was written."""

    lags: list[float] = []

    def write(self, cluster_id: int, observations: Looks) -> None:
        taken = list(observations)
        surveys.record_observations(
            cluster_id=cluster_id, observations=((ref, look) for ref, look, _ in taken)
        )
        now = time.monotonic()
        self.lags += [now - since for _, _, since in taken]


def tell(watchers: MeasuredWatchers | None) -> None:
    began = time.process_time()
    while True:
        time.sleep(1)
        lags: list[float] = []
        if watchers is not None:
            watchers.lags, lags = [], watchers.lags
        mib = psutil.Process().memory_full_info().pss / 2**20
        cpu = time.process_time() - began
        print(json.dumps({"mib": mib, "lags": lags, "cpu": cpu}), flush=True)


def main() -> None:
    if sys.argv[1] == "watch":
        watchers = MeasuredWatchers()
        stop = threading.Event()
        threading.Thread(target=watchers.run, kwargs={"stop": stop}, daemon=True).start()
        tell(watchers)
        return
    config = config_for(Cluster.objects.get(pk=int(sys.argv[2])))
    api, kept = Api(config.connection), []
    for kind in WATCHED:
        chosen = selection(kind, portal_id=config.portal_id)
        for page in api.pages(
            kind, labels=chosen.get("labels", ""), fields=chosen.get("fields", "")
        ):
            kept += page.items
    tell(None)


if __name__ == "__main__":
    main()
