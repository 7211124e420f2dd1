"""Whether a task waited in a queue for longer than the token that it reports to Airflow with."""

import json
from base64 import urlsafe_b64decode


def has_ended(workload: str, *, now: float, leeway: float) -> bool:
    """Whether the token of a task, as the executor sends it, has ended by `now` (seconds since the
    epoch). Half of the leeway, in which Airflow still believes it, is left for starting.
    """
    try:
        sent = json.loads(workload)
        # The scheduler takes back nothing else.
        if sent["type"] != "ExecuteTask":
            return False
        body = sent["token"].split(".")[1]
        ends_at = float(json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"])
    # Airflow judges what this does not know.
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return False
    return now > ends_at + leeway / 2
