"""The strict schemas of Kubernetes, of the package kubernetes-validate, read once: its own function
reads all of them for every object.
"""

from functools import cache

import jsonschema
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from apps.dataplane.kubernetes.api.kinds import Manifest

FOLDER = "kubernetes-json-schema/v1.37.0-local-strict"


def validate(manifest: Manifest) -> None:
    """Raise jsonschema.ValidationError for a field that Kubernetes 1.37 does not know, or a value
    of a wrong type.
    """
    group, _, version = manifest["apiVersion"].rpartition("/")
    prefix = f"{group.partition('.')[0]}-" if group else ""
    _validator(f"{manifest['kind'].lower()}-{prefix}{version}").validate(manifest)


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = schema_contents(f"{FOLDER}/{name}.json", "1.37")
    return jsonschema.Draft202012Validator(schema, registry=_definitions())


@cache
def _definitions() -> Registry:
    contents = schema_contents(f"{FOLDER}/_definitions.json", "1.37")
    return Resource.from_contents(contents) @ Registry()
