"""Every setting that has layers, in the order of the forms."""

from collections.abc import Iterable, Mapping
from typing import Any

from apps.dataplane.production import ProductionSpec
from apps.layers.setting import LayerName, Setting
from apps.layers.settings.components import COMPONENTS
from apps.layers.settings.limits import LIMITS
from apps.layers.settings.placement import PLACEMENT
from apps.layers.settings.surroundings import SURROUNDINGS

_ALL = (*COMPONENTS, *PLACEMENT, *LIMITS, *SURROUNDINGS)
SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _ALL}
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(setting.group for setting in _ALL))


def settings_of(*, layer: LayerName, is_kubernetes: bool = True) -> tuple[Setting, ...]:
    """List what a layer may set, in the order of the form."""
    return tuple(
        setting
        for setting in _ALL
        if layer in setting.layers and (is_kubernetes or setting.is_for_local)
    )


def settings_on(*, is_kubernetes: bool) -> tuple[Setting, ...]:
    """List what holds for Deployments of one kind of cluster, whoever may set it."""
    return tuple(setting for setting in _ALL if is_kubernetes or setting.is_for_local)


def production_of(values: Mapping[str, str]) -> ProductionSpec:
    """Return what a data plane gets of effective texts, which their kinds took."""
    parsed: dict[str, Any] = {
        name: SETTINGS[name].kind.parse(text) for name, text in values.items()
    }
    return ProductionSpec(**parsed)


def known(values: Mapping[str, str]) -> dict[str, str]:
    """Leave out what a newer portal wrote."""
    return {name: text for name, text in values.items() if name in SETTINGS}


def labels_of(names: Iterable[str]) -> list[str]:
    """Return how people call settings, in the order of the form."""
    wanted = frozenset(names)
    return [setting.label for setting in _ALL if setting.name in wanted]
