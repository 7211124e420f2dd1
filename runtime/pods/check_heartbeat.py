"""Fail if this pod's job has not reported to the database for some minutes.

For components without a health server. Airflow's own `jobs check` imports all of Airflow once a
minute. A database that does not answer is no reason to restart a pod.
"""

import os
import socket
import sys

import psycopg2

SILENT_SECONDS = 300


def main() -> int:
    url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "", 1)
    try:
        silence = seconds_since_heartbeat(url, job_type=sys.argv[1])
    except psycopg2.Error:
        return 0
    if silence is None or silence > SILENT_SECONDS:
        print(f"No sign of life of the {sys.argv[1]}: {silence}")
        return 1
    return 0


def seconds_since_heartbeat(url: str, *, job_type: str) -> float | None:
    query = (
        "SELECT extract(epoch FROM now() - max(latest_heartbeat)) FROM job"
        " WHERE job_type = %s AND hostname = %s AND state = 'running'"
    )
    connection = psycopg2.connect(url, connect_timeout=5)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, [job_type, pod_address()])
            return cursor.fetchone()[0]
    finally:
        connection.close()


def pod_address() -> str:
    """As in runtime/plugins/portal_address.py, by which the job has registered."""
    found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    address = str(found[0][4][0])
    return f"[{address}]" if ":" in address else address


if __name__ == "__main__":
    sys.exit(main())
