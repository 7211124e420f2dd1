"""The DAGs of this Airflow with their last runs, for lists over many Deployments.

Airflow's own API answers with a hundred DAGs at a time, and with the runs of each in another
request.
"""

import hashlib
import json
import zlib
from collections import defaultdict
from typing import Any

from portal_reading import bounded_session
from sqlalchemy import bindparam, text
from sqlalchemy.exc import DBAPIError

LONGEST_MILLISECONDS = 5000
MOST_DAGS = 5000
RUNS = 14
DAGS = """
    SELECT dag_id, dag_display_name, left(description, 300), is_paused, has_import_errors,
        left(timetable_summary, 200), left(timetable_description, 200), next_dagrun_create_after,
        left(owners, 1000)
    FROM dag WHERE NOT is_stale ORDER BY dag_id LIMIT :most
"""
COUNT = "SELECT count(*) FROM dag WHERE NOT is_stale"
TAGS = "SELECT dag_id, name FROM dag_tag ORDER BY dag_id, name"
# Most runs have a logical date, whose index finds the last ones of a DAG with a million; runs that
# people and assets started have none.
LAST_RUNS = """
    SELECT dag.dag_id, last.state, extract(epoch FROM last.run_after)::bigint,
        extract(epoch FROM last.end_date - last.start_date)::bigint
    FROM (SELECT dag_id FROM dag WHERE NOT is_stale ORDER BY dag_id LIMIT :most) dag
    CROSS JOIN LATERAL (
        SELECT * FROM (
            (SELECT state, run_after, start_date, end_date FROM dag_run
             WHERE dag_run.dag_id = dag.dag_id AND logical_date IS NOT NULL
             ORDER BY logical_date DESC LIMIT :runs)
            UNION ALL
            (SELECT state, run_after, start_date, end_date FROM dag_run
             WHERE dag_run.dag_id = dag.dag_id AND logical_date IS NULL
             ORDER BY run_after DESC LIMIT :runs)
        ) either ORDER BY run_after DESC LIMIT :runs
    ) last
"""
HASHES = """
    SELECT DISTINCT ON (dag_id) dag_id, dag_hash FROM serialized_dag
    ORDER BY dag_id, created_at DESC LIMIT :most
"""
# Airflow leaves out what is False, its default since 3.0, in some versions.
CATCH_UP = text(
    """
    SELECT dag_hash, coalesce(CAST(data AS jsonb)->'dag'->>'catchup', 'false'), data_compressed
    FROM serialized_dag WHERE dag_hash IN :hashes
    """
).bindparams(bindparam("hashes", expanding=True))
# Whether a DAG of this hash catches up: a DAG is read again once it has changed only.
_catching_up: dict[str, bool] = {}


def dags(known: str = "") -> dict[str, Any]:
    """Return the DAGs, at most `MOST_DAGS`, how many there are, and the digest of both; without the
    DAGs where the caller has them by that digest already.

    A DAG is (id, name, description, is paused, has import errors, schedule, schedule in words, next
    run, owners, tags, runs, whether it catches up, None where that is not known), a run (state,
    second since 1970 that it was due, seconds), the latest first. `has_runs` is False where the
    database was too slow to find the runs.
    """
    rows, count, runs = _read()
    joined = _joined(rows, runs or [], _catch_up())
    content = {"dags": joined, "count": count, "has_runs": runs is not None}
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return {"digest": digest} if digest == known else {"digest": digest, **content}


def _read() -> tuple[list[Any], int, list[Any] | None]:
    with bounded_session(LONGEST_MILLISECONDS) as session:
        found = session.execute(text(DAGS), {"most": MOST_DAGS}).all()
        count = session.execute(text(COUNT)).scalar_one()
        tags = defaultdict(list)
        for dag_id, name in session.execute(text(TAGS)):
            tags[dag_id].append(name)
        rows = [[*row, tags[row[0]]] for row in found]
        try:
            runs = session.execute(text(LAST_RUNS), {"most": MOST_DAGS, "runs": RUNS}).all()
        except DBAPIError:
            session.rollback()
            return rows, count, None
    return rows, count, list(runs)


def _catch_up() -> dict[str, bool]:
    """Return by DAG whether it makes up for runs that it missed, as far as that can be read."""
    with bounded_session(LONGEST_MILLISECONDS) as session:
        try:
            rows = session.execute(text(HASHES), {"most": MOST_DAGS}).all()
            hashes = dict(rows)
            unread = set(hashes.values()) - _catching_up.keys()
            found = session.execute(CATCH_UP, {"hashes": list(unread)}).all() if unread else []
        except DBAPIError:
            session.rollback()
            return {}
    for gone in _catching_up.keys() - set(hashes.values()):
        _catching_up.pop(gone, None)
    for dag_hash, said, compressed in found:
        _catching_up[dag_hash] = _said_in(compressed) if compressed else said == "true"
    known = dict(_catching_up)
    return {one: known[dag_hash] for one, dag_hash in hashes.items() if dag_hash in known}


def _said_in(compressed: Any) -> bool:
    return json.loads(zlib.decompress(compressed))["dag"].get("catchup", False) is True


def _joined(rows: list[Any], runs: list[Any], catch_up: dict[str, bool]) -> list[list[Any]]:
    of_dag = defaultdict(list)
    for dag_id, state, due, seconds in runs:
        of_dag[dag_id].append([state, due, seconds])
    joined = []
    for *facts, next_run, owners, tags in rows:
        at = next_run.isoformat() if next_run else None
        names = [one.strip() for one in (owners or "").split(",") if one.strip()]
        dag_id = facts[0]
        joined.append([*facts, at, names, tags, of_dag[dag_id], catch_up.get(dag_id)])
    return joined
