"""Canaille's own commands, from its own environment: a JSON list of words for each line of input.

One process for all of them: `canaille` needs five seconds of processor time to start.
"""

import io
import json
import sys
from contextlib import redirect_stdout

from canaille.commands import cli, create_cli_app
from click import ClickException
from flask.cli import ScriptInfo

application = ScriptInfo(create_app=create_cli_app)
for line in sys.stdin:
    printed, problem = io.StringIO(), ""
    with redirect_stdout(printed):
        try:
            cli.main(json.loads(line), obj=application, standalone_mode=False)
        except ClickException as error:
            problem = error.format_message()
    print(json.dumps({"printed": printed.getvalue(), "problem": problem}), flush=True)
