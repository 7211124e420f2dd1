"""Airflow imports this file in each of its processes, when its settings are complete."""

import sys

import portal_imports

# Nothing here is a setting.
__all__: list[str] = []

if "triggerer" in sys.argv[1:2]:
    portal_imports.install()
