"""What is asked of supervisord when its programs change, and one that came up again meanwhile."""

from pathlib import Path
from typing import Any

from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.supervisor import Supervisor

STILL_RUNNING = 91


class Scripted(Supervisor):
    """Of a supervisord in which the program `up-again` was seen stopped, and runs by now."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.asked: list[tuple[str, ...]] = []

    def _call(self, method: str, *arguments: Any, ignore: tuple[int, ...] = ()) -> Any:
        self.asked.append((method, *arguments))
        if method == "reloadConfig":
            return ((["new"], ["changed", "up-again"], ["removed"]),)
        if method == "getAllProcessInfo":
            return [
                {
                    "name": name,
                    "statename": "EXITED",
                    **dict.fromkeys(("pid", "start", "stop", "exitstatus"), 0),
                    "description": "",
                }
                for name in ("changed", "up-again", "removed")
            ]
        if (method, arguments[0]) == ("removeProcessGroup", "up-again"):
            assert STILL_RUNNING in ignore
            return None
        return True


def test_a_program_that_came_up_again_keeps_its_old_definition_until_the_next_time(
    tmp_path: Path,
) -> None:
    supervisor = Scripted(Home(tmp_path))

    supervisor.reload()

    added = [names[0] for method, *names in supervisor.asked if method == "addProcessGroup"]
    assert added == ["new", "changed"]
