"""A Deployment as a file: what is read can be sent back, what an edit does is told before."""

from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.api.deployments.bodies import DeploymentChange, changed_configuration
from apps.api.deployments.shapes import deployment_shape
from apps.core.public_ids import public_id
from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.options import deployment_options
from apps.deployments.configuration.schema import Configuration, SettingValue, Variable
from apps.deployments.configuration.validation import validate
from apps.deployments.models import Revision, SecretValue

TODAY = date(2026, 11, 1)
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=40)
KEY = st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True)
NAME = st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True)
VARIABLE = st.builds(Variable, key=KEY, value=TEXT) | st.builds(
    Variable, key=KEY, secret_id=st.uuids().map(str)
)

PROXY = "http://proxy.example.org:3128"
PROXIES = st.sampled_from([(), ("http_proxy",), ("http_proxy", "https_proxy")])


def queue(name: str, concurrency: int, workers: tuple[int, int]) -> WorkerQueue:
    return WorkerQueue(
        name=name,
        size="local",
        concurrency=concurrency,
        min_workers=min(workers),
        max_workers=max(workers),
    )


QUEUE = st.builds(queue, NAME, st.integers(1, 64), st.tuples(st.integers(0, 9), st.integers(1, 9)))


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    executor = draw(st.sampled_from(["celery", "local"]))
    others = draw(st.lists(QUEUE, max_size=3, unique_by=lambda one: one.name))
    default = queue("default", draw(st.integers(1, 64)), (0, draw(st.integers(1, 9))))
    queues = (default, *(one for one in others if one.name != "default"))
    return Configuration(
        description=draw(TEXT),
        runtime=draw(st.sampled_from(["3.3.2-1", "3.2.2-1"])),
        executor=executor,
        queues=queues if executor == "celery" else (),
        variables=tuple(draw(st.lists(VARIABLE, max_size=4, unique_by=lambda one: one.key))),
        corrects_drift=draw(st.booleans()),
        settings=tuple(SettingValue(name=name, value=PROXY) for name in draw(PROXIES)),
    )


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(configuration=configurations(), before=configurations())
def test_what_is_read_is_what_is_sent_for_every_setting(alice, deployment, configuration, before):
    deployment.wanted = Revision(number=1, config=configuration.to_json(), created_by=alice)
    sent = deployment_shape(deployment).model_dump_json(by_alias=True, exclude_none=True)
    body = DeploymentChange.model_validate_json(sent)

    def changed(old: Configuration) -> Configuration:
        place = {"workspace": deployment.workspace, "cluster": deployment.cluster}
        return changed_configuration(body, before=old, actor=alice, **place)

    assert changed(configuration) == configuration
    if not configuration.secret_ids:
        # Onto anything else, too: nothing of that stays.
        assert changed(before) == configuration


def test_the_settings_that_are_tried_are_those_that_there_are():
    names = set(Configuration.__dataclass_fields__)

    assert names == {
        "description",
        "runtime",
        "executor",
        "queues",
        "variables",
        "corrects_drift",
        "settings",
        # Set by a deploy, and kept by edits: see test_image_deploys.
        "image",
    }, "Draw the new one, too, and put it into the shape and the body."


@pytest.fixture
def here(deployment) -> str:
    return f"/deployments/{public_id('deployment', deployment.pk)}"


def test_a_difference_is_told_before_it_is_made(alice, deployment, here, program_of):
    program = program_of(alice)
    read = program.get(here).json()
    variables = [{"key": "TOKEN", "value": "s3cret-value", "isSecret": True}]
    queues = [{**read["workerQueues"][0], "maxWorkerCount": 4}]

    nothing = program.post(f"{here}/diff", read)
    told = program.post(
        f"{here}/diff", {**read, "environmentVariables": variables, "workerQueues": queues}
    )

    assert nothing.json() == {"changes": []}
    assert [one["label"] for one in told.json()["changes"]] == ["default, max workers", "TOKEN"]
    assert all(one["effect"] for one in told.json()["changes"])
    assert "s3cret-value" not in told.content.decode()
    deployment.refresh_from_db()
    assert deployment.wanted.number == 1
    assert not SecretValue.objects.exists()


def test_a_key_that_is_not_known_is_refused_with_the_nearest(alice, here, program_of):
    program = program_of(alice)
    read = program.get(here).json()

    answer = program.post(
        f"{here}/diff",
        {
            **read,
            "descripton": "x",
            "workerQueues": [{**read["workerQueues"][0], "maxWorkers": 3}],
            "qqqq": 1,
        },
    )

    assert answer.status_code == 400
    found = {one["field"]: one["message"] for one in answer.json()["fieldErrors"]}
    assert found == {
        "descripton": "A Deployment has no descripton. Did you mean description?",
        "qqqq": "A Deployment has no qqqq.",
        "workerQueues.0.maxWorkers": "A Deployment has no maxWorkers. Did you mean maxWorkerCount?",
    }


def test_a_misspelt_key_is_refused_by_creating_and_changing_too(alice, here, program_of):
    program = program_of(alice)
    read = program.get(here).json()
    # What clients of Astro send, and a newer one.
    others = {"drWorkloadIdentity": "", "remoteExecution": {}, "fromTheFuture": [1]}
    queue = {**read["workerQueues"][0], "nodePoolId": "x", "maxWorkersCount": 3}

    taken = program.post(here, {**read, **others})
    changed = program.post(here, {**read, "descripton": "x", "workerQueues": [queue]})
    created = program.post(
        "/deployments", {**read, "name": "other", "executer": "KUBERNETES", **others}
    )
    many = program.post(here, {**read, **{f"descripton{one}": 1 for one in range(20_000)}})

    assert taken.status_code == 200, taken.content
    assert [one.status_code for one in (changed, created, many)] == [400] * 3
    assert [one["message"] for one in changed.json()["fieldErrors"]] == [
        "A Deployment has no descripton. Did you mean description?",
        "A Deployment has no maxWorkersCount. Did you mean maxWorkerCount?",
    ]
    assert "Did you mean executor?" in created.json()["message"]
    assert len(many.json()["fieldErrors"]) == 50
    assert program.get(here).json()["description"] == read["description"]


def test_a_file_that_breaks_a_rule_is_refused_as_the_update_is(alice, here, program_of):
    program = program_of(alice)
    bad = {**program.get(here).json(), "description": "x" * 501}

    answers = [program.post(path, bad) for path in (f"{here}/diff", here)]

    assert [one.status_code for one in answers] == [400, 400]
    assert answers[0].json()["message"] == answers[1].json()["message"]


def test_the_configurations_that_are_tried_are_valid(deployment):
    options = deployment_options(cluster=deployment.cluster, today=TODAY)
    variables = (Variable(key="REGION", value="eu"),)
    one = Configuration(
        description="",
        runtime="3.3.2-1",
        executor="celery",
        queues=(queue("default", 4, (0, 2)),),
        variables=variables,
    )

    assert validate(configuration=one, options=options) == []
