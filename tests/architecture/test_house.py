"""A newcomer finds few files behind each door, and each of them has its place in a contract."""

from tests.house import MOST_MODULES, layered_packages, modules_of_packages


def test_a_package_holds_a_dozen_modules_at_most() -> None:
    counts = modules_of_packages()

    assert {name: count for name, count in counts.items() if count > MOST_MODULES} == {}
    assert counts["apps.core.web"] >= 5


def test_every_module_of_an_app_has_its_place_in_a_contract() -> None:
    layered = layered_packages()
    alone = {name for name, count in modules_of_packages().items() if count < 2}
    unplaced = set(modules_of_packages()) - layered - alone

    assert {name for name in unplaced if name.startswith("apps.")} == set()
