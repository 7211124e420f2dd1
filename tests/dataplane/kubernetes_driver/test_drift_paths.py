from apps.dataplane.kubernetes.observe.drift import _paths


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
