"""Airflows from elsewhere on the stage: one that is ready, one that failed, one that was used."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.accounts.models import User
from apps.airflow_imports.models import AirflowImport
from apps.deployments.models import Deployment

DAGS = [
    {"dag_id": "orders_daily", "file": "/opt/airflow/dags/shop/orders.py", "is_paused": False},
    {
        "dag_id": "reconciliation_of_shipments_between_warehouses_and_customs_brokers",
        "file": "/opt/airflow/dags/logistics/customs/reconciliation_of_shipments.py",
        "is_paused": True,
    },
]
REPORT: dict[str, Any] = {
    "versions": "2.10.3 to 2.11",
    "database_bytes": 4_812_000_000,
    "counts": {"DAGs": 2, "DAG runs": 81_204, "Task instances": 912_400, "Connections": 31},
    "dags": DAGS,
    "users": ["ada@example.org", "maximiliane.von.hohenstein@logistics.nordhavn.example"],
    "secrets": 44,
}


def imports_on_stage(deployment: Deployment, author: User) -> list[UUID]:
    now = timezone.now()
    common = {"workspace": deployment.workspace, "created_by": author, "expires_at": now}
    ready = AirflowImport(
        **common,
        name="airflow-production-eu-north-1-2026-11-28T2200.dump.gz",
        state="ready",
        report=REPORT,
        airflow_version="2.10.3",
        options=["AIRFLOW__WEBSERVER__WORKERS", "AIRFLOW__CORE__EXECUTOR"],
        ended_at=now,
    )
    failed = AirflowImport(
        **common,
        name="airflow at db.example.org",
        host="db.example.org",
        user="reader",
        state="failed",
        failure="The Fernet key does not decrypt 2 of 31 secrets, such as that of the connection "
        "warehouse. Enter the key of that Airflow; several with commas between, the newest first.",
    )
    used = AirflowImport(
        **common,
        name="orders.dump",
        state="used",
        report=REPORT,
        airflow_version="2.10.3",
        deployment=deployment,
        unpause={
            "asked": "x",
            "done": "x",
            "count": 0,
            "failed": {"orders_daily": "Airflow does not know this DAG. Deploy its code first."},
        },
    )
    running = AirflowImport(**common, name="airflow at new.example.org", host="new.example.org")
    rows = [ready, failed, used, running]
    for number, row in enumerate(rows):
        row.created_at = now - timedelta(hours=number)
        row.save()
    return [row.pk for row in rows]
