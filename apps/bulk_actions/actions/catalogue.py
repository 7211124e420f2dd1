"""All actions, in the order in which pages offer them."""

from apps.bulk_actions.actions.base import Action
from apps.bulk_actions.actions.restarts import ApplyAgain, Restart
from apps.bulk_actions.actions.settings import SetDescription, SetVariable, SetWorkers
from apps.bulk_actions.actions.turns import Hibernate, WakeUp
from apps.bulk_actions.actions.upgrades import UpgradeRuntime

ACTIONS: dict[str, Action] = {
    action.key: action
    for action in (
        Restart(),
        ApplyAgain(),
        Hibernate(),
        WakeUp(),
        UpgradeRuntime(),
        SetVariable(),
        SetWorkers(),
        SetDescription(),
    )
}
