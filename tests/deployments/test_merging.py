from dataclasses import replace

from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.merging import merge
from apps.deployments.configuration.schema import Configuration, Variable
from apps.deployments.configuration.yaml_text import yaml_difference, yaml_of


def queue(name: str, most: int = 2) -> WorkerQueue:
    return WorkerQueue(name=name, size="local", concurrency=4, min_workers=0, max_workers=most)


BASE = Configuration(
    description="Loads",
    runtime="3.3.2-1",
    executor="celery",
    queues=(queue("default"), queue("heavy")),
    variables=(Variable(key="A", value="1"), Variable(key="TOKEN", secret_id="s-1")),
)


def test_edits_that_do_not_touch_are_joined() -> None:
    theirs = replace(BASE, description="Theirs")
    mine = replace(BASE, queues=(queue("default", 9), queue("heavy")))

    merged = merge(base=BASE, theirs=theirs, mine=mine, keep={})

    assert merged.clashes == ()
    assert merged.configuration == replace(theirs, queues=mine.queues)


def test_the_same_edit_twice_is_no_clash() -> None:
    same = replace(BASE, description="Same")

    assert merge(base=BASE, theirs=same, mine=same, keep={}).clashes == ()


def test_a_clash_is_named_in_words_and_mine_goes_on_unless_told() -> None:
    theirs = replace(BASE, queues=(queue("default", 4), queue("heavy")))
    mine = replace(BASE, queues=(queue("default", 8), queue("heavy")))

    merged = merge(base=BASE, theirs=theirs, mine=mine, keep={})
    told = merge(base=BASE, theirs=theirs, mine=mine, keep={"queue default": "theirs"})

    (clash,) = merged.clashes
    assert (clash.label, clash.theirs) == ("Queue default", "4 tasks per worker, 0 to 4 workers")
    assert merged.configuration == mine
    assert told.configuration == theirs


def test_what_one_removes_and_the_other_leaves_is_gone() -> None:
    theirs = replace(BASE, queues=(queue("default"),))
    mine = replace(BASE, variables=BASE.variables[:1])

    merged = merge(base=BASE, theirs=theirs, mine=mine, keep={})

    assert [one.name for one in merged.configuration.queues] == ["default"]
    assert [one.key for one in merged.configuration.variables] == ["A"]


def test_what_one_removes_and_the_other_changes_is_a_clash() -> None:
    theirs = replace(BASE, queues=(queue("default"),))
    mine = replace(BASE, queues=(queue("default"), queue("heavy", 9)))

    (clash,) = merge(base=BASE, theirs=theirs, mine=mine, keep={}).clashes

    assert clash.theirs == "not set"


def test_the_local_executor_takes_all_queues_with_it() -> None:
    theirs = replace(BASE, executor="local", queues=())
    mine = replace(BASE, queues=(*BASE.queues, queue("new")))

    merged = merge(base=BASE, theirs=theirs, mine=mine, keep={})

    assert merged.configuration.executor == "local"
    assert merged.configuration.queues == ()


def test_two_new_secrets_clash_without_being_shown() -> None:
    theirs = replace(BASE, variables=(BASE.variables[0], Variable(key="TOKEN", secret_id="s-2")))
    mine = replace(BASE, variables=(BASE.variables[0], Variable(key="TOKEN", secret_id="s-3")))

    (clash,) = merge(base=BASE, theirs=theirs, mine=mine, keep={}).clashes

    assert (clash.base, clash.theirs, clash.mine) == ("secret", "secret", "new secret")


def test_yaml_hides_secrets_and_shows_that_one_is_new() -> None:
    new = replace(BASE, variables=(BASE.variables[0], Variable(key="TOKEN", secret_id="s-2")))

    assert "s-1" not in yaml_of(BASE)
    lines = [(line.side, line.text.strip()) for line in yaml_difference(BASE, new)]
    assert ("old", "TOKEN: !secret") in lines
    assert ("new", "TOKEN: !new-secret") in lines
