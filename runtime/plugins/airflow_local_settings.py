"""Airflow imports this file in each of its processes, when its settings are complete."""

import sys
from typing import Any

import portal_deferred
import portal_imports
import portal_late_pods
import portal_pods

# Nothing else here is a setting.
__all__ = ["pod_mutation_hook"]

if "triggerer" in sys.argv[1:2]:
    portal_imports.install()
if "scheduler" in sys.argv[1:2]:
    portal_deferred.install()
    portal_late_pods.install()


def pod_mutation_hook(pod: Any) -> None:
    """Complete a pod that a task starts."""
    portal_pods.complete(pod)
