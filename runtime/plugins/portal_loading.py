"""Complete a module of Airflow when it is loaded: the settings, which bring the plugins, come
before most of Airflow.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


def when_loaded(name: str, complete: Callable[[ModuleType], None]) -> None:
    """Call `complete` with the module `name` as soon as this process has loaded it."""
    if name not in sys.modules:
        sys.meta_path.insert(0, _Finder(name, complete))


class _Finder(MetaPathFinder):
    def __init__(self, name: str, complete: Callable[[ModuleType], None]) -> None:
        self._name, self._complete = name, complete

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _CompletingLoader(spec.loader, self._complete)
        return spec


class _CompletingLoader(Loader):
    def __init__(self, loader: Loader, complete: Callable[[ModuleType], None]) -> None:
        self._loader, self._complete = loader, complete

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._complete(module)
