"""What the local plane sets in any case must be refused at the form, not dropped in silence."""

from pathlib import Path

from apps.dataplane.local.airflow.environment import Place, core_environment
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder, State
from apps.dataplane.spec import VariableSpec
from apps.deployments.configuration.validation import is_protected
from tests.dataplane.specs import make_spec


def test_a_variable_that_the_plane_would_drop_is_refused(tmp_path: Path) -> None:
    place = Place(
        folder=Folder(Home(tmp_path), "tidy-comet"),
        state=State(api_port=23456, broker_number=7, database_password="pw"),
        config=LocalConfig(
            database_url="postgresql://portal:secret@127.0.0.1:5555/portal",
            broker_url="redis://:secret@127.0.0.1:6666",
            edge_url="http://localhost:8081",
        ),
        env_folder=tmp_path,
    )
    names = core_environment(spec=make_spec(), place=place)
    mine = tuple(VariableSpec(key=name, value="mine", is_secret=False) for name in names)

    merged = core_environment(spec=make_spec(variables=mine), place=place)

    dropped = {name for name, value in merged.items() if value != "mine"}
    assert dropped > {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "PATH"}
    assert {name for name in dropped if not is_protected(name)} == set()
