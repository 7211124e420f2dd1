"""From a spec to Kubernetes objects. Pure: the same spec and cluster give the same objects."""

from apps.dataplane.kubernetes.render.rendering import render
from apps.dataplane.kubernetes.render.stages import Stage

__all__ = ["Stage", "render"]
