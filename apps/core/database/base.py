"""What Django loads as the backend: its own, whose connections are patient ones."""

from types import SimpleNamespace
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from apps.core.database.patience import PatientConnection


class DatabaseWrapper(base.DatabaseWrapper):
    # Django asks it for `connect` and for the classes of errors alone.
    Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": PatientConnection.connect})
