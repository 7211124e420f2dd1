from apps.dataplane.kubernetes.observe.objects.drift import (
    ADDED,
    MISSING,
    Difference,
    _differences,
    _paths,
    _shown_values,
)


def paths(wanted: object, live: object) -> set[str]:
    return set(_paths(wanted, live, ""))


def test_equal_objects_have_no_paths() -> None:
    assert paths({"a": [1, {"name": "x"}]}, {"a": [1, {"name": "x"}]}) == set()


def test_items_of_lists_are_told_apart_by_name() -> None:
    wanted = {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}
    live = {"containers": [{"name": "b"}, {"name": "a", "image": "2"}]}

    assert paths(wanted, live) == {"containers[a].image"}


def test_what_one_side_lacks_is_named() -> None:
    assert paths({"a": {"b": 1}}, {"a": {}}) == {"a.b"}
    assert paths({"env": [{"name": "A"}]}, {"env": [{"name": "A"}, {"name": "B"}]}) == {"env[B]"}


def test_lists_without_names_differ_as_a_whole_or_by_index() -> None:
    assert paths({"args": ["a", "b"]}, {"args": ["a", "c"]}) == {"args[1]"}
    assert paths({"args": ["a"]}, {"args": []}) == {"args"}


def test_each_difference_has_the_wanted_and_the_live_value() -> None:
    found = set(_differences({"a": 1, "b": {"c": "x"}}, {"a": 2, "b": {}}, ""))

    assert found == {("a", 1, 2), ("b.c", "x", MISSING)}


def test_values_are_shown_in_words_and_bounded() -> None:
    found = {
        "spec.replicas": Difference(1, 3),
        "spec.paused": Difference(MISSING, True),
        "args": Difference(["a"], "x" * 999),
        "spec.env[X]": Difference(MISSING, ADDED),
    }

    shown = _shown_values("Deployment", found)

    assert shown["spec.replicas"] == ("1", "3")
    assert shown["spec.paused"] == ("not set", "true")
    assert shown["spec.env[X]"] == ("not set", "added")
    assert shown["args"][0] == '["a"]'
    assert len(shown["args"][1]) == 201


def test_what_is_secret_is_never_shown() -> None:
    found = {
        "data.key": Difference("a", "b"),
        "spec.env[DB_PASSWORD].value": Difference("old", "new"),
        "spec.env[X]": Difference(MISSING, {"name": "API_TOKEN", "value": "hunter2"}),
        "spec.env[URL].value": Difference("postgres://u:hunter2@db/x", "redis://:hunter2@broker"),
    }

    assert _shown_values("Secret", found) == {}
    shown = _shown_values("Deployment", found)
    assert set(shown) == {"data.key", "spec.env[URL].value"}
    assert shown["spec.env[URL].value"] == ("postgres://•••@db/x", "redis://•••@broker")
    assert "hunter2" not in str(shown)
