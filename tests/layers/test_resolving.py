"""Which layer holds. The last that says something, unless one above it locked the setting."""

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.layers.catalogue import SETTINGS
from apps.layers.resolving import Said, resolve
from apps.layers.setting import LAYERS

NAME = "scheduler_size"
PORTAL = Said(layer="portal", values={NAME: "medium"})
CLUSTER = Said(layer="cluster", place="eu-1", values={NAME: "large"})
OWN = Said(layer="deployment", values={NAME: "small"})


def test_the_nearest_layer_holds_and_says_where_it_comes_from() -> None:
    assert resolve(())[NAME].source == "default"
    assert resolve((PORTAL,))[NAME].source == "from the portal"
    found = resolve((OWN, CLUSTER, PORTAL))[NAME]
    assert (found.value, found.source) == ("small", "from this Deployment")
    found = resolve((CLUSTER, PORTAL))[NAME]
    assert (found.value, found.source) == ("large", "from the cluster eu-1")


def test_a_lock_ends_it_and_names_who_locked() -> None:
    locks = Said(layer="organization", place="Nordhavn", locked=frozenset({NAME}))

    found = resolve((PORTAL, locks, CLUSTER, OWN))[NAME]

    assert (found.value, found.origin) == ("medium", "portal")
    assert (found.is_locked, found.locker) == (True, "the organization Nordhavn")


def test_a_layer_that_may_not_set_something_is_not_listened_to() -> None:
    own = Said(layer="deployment", values={"allowed_priority_classes": "system"})

    assert resolve((own,))["allowed_priority_classes"].value == ""


@settings(max_examples=80, deadline=None)
@given(
    values=st.fixed_dictionaries(
        {layer: st.sampled_from((None, "small", "medium", "large")) for layer in LAYERS}
    ),
    locked=st.sets(st.sampled_from(LAYERS)),
)
def test_it_is_what_reading_from_the_top_to_the_first_lock_gives(
    values: dict[str, str | None], locked: set[str]
) -> None:
    said = [
        Said(
            layer=layer,
            values={NAME: value} if (value := values[layer]) else {},
            locked=frozenset({NAME}) if layer in locked else frozenset(),
        )
        for layer in LAYERS
    ]
    until = next((LAYERS.index(one) for one in LAYERS if one in locked), len(LAYERS) - 1)
    heard = [values[layer] for layer in LAYERS[: until + 1] if values[layer]]

    found = resolve(reversed(said))[NAME]

    assert found.value == (heard[-1] if heard else SETTINGS[NAME].default)
    assert found.is_locked == bool(locked)
