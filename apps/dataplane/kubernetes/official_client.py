"""The official client's connection layer without its models: the only module that knows the client.

Importing the client runs its packages' `__init__`, which load every model of every API: 17 MB and
half a second in each process, of which the portal uses nothing. So the two modules that it does use
are imported below packages that are empty, and the empty packages are forgotten again.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

_PACKAGES = ("kubernetes", "kubernetes.client", "kubernetes.utils")


def _connection_layer() -> tuple[ModuleType, ModuleType]:
    if _PACKAGES[0] not in sys.modules:
        spec = find_spec(_PACKAGES[0])
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(_PACKAGES[0])
        place = Path(spec.origin).parent.parent
        for name in _PACKAGES:
            sys.modules[name] = _empty_package(name, place.joinpath(*name.split(".")))
    try:
        modules = (
            import_module("kubernetes.client.configuration"),
            import_module("kubernetes.client.rest"),
        )
    finally:
        if not hasattr(sys.modules[_PACKAGES[0]], "__version__"):
            for name in [one for one in sys.modules if f"{one}.".startswith("kubernetes.")]:
                del sys.modules[name]
    return modules


def _empty_package(name: str, folder: Path) -> ModuleType:
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    return package


_configuration, _rest = _connection_layer()
Configuration = _configuration.Configuration
RESTClientObject = _rest.RESTClientObject
