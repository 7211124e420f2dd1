"""Which Airflow a metadata database belongs to, by the head of its migrations.

From `_REVISION_HEADS_MAP` in Airflow's `airflow/utils/db.py`; a test compares it with that of the
newest runtime.
"""

from apps.dataplane.errors import Permanent

OLDEST = "2.11"
# Head: the first Airflow that has it, and all that have it in words.
HEADS = {
    "5f2621c13b39": ("2.10.3", "2.10.3 to 2.11"),
    "29ce7909c52b": ("3.0.0", "3.0.0 to 3.0.2"),
    "fe199e1abd77": ("3.0.3", "3.0.3 or newer 3.0"),
    "cc92b33c6709": ("3.1.0", "3.1.0 to 3.1.7"),
    "509b94a1042d": ("3.1.8", "3.1.8 or newer 3.1"),
    "1d6611b6ab7c": ("3.2.0", "3.2"),
    "d2f4e1b3c5a7": ("3.3.0", "3.3"),
}
OLDER = {
    "22ed7efa9da2": "2.10.0",
    "686269002441": "2.9.2",
    "1949afb29106": "2.9.0",
    "88344c1d9134": "2.8.1",
    "10b52ebd31f7": "2.8.0",
    "405de8318b3a": "2.7.0",
    "4bc4d934e2bc": "2.6.2",
    "c804e5c76e3e": "2.6.2",
    "98ae134e6fff": "2.6.0",
    "290244fb8b83": "2.5.0",
    "e07f49787c9d": "2.4.3",
}


def version_of(head: str) -> tuple[str, str]:
    """Return the Airflow of a database, as the first version that has it and in words. Raises
    Permanent for one that is too old or not known.
    """
    if head in HEADS:
        return HEADS[head]
    if head in OLDER:
        raise Permanent(
            f"This is a database of Airflow {OLDER[head]}. Upgrade it to {OLDEST} where it is, and "
            "bring it then."
        )
    raise Permanent(
        f"The migrations of this database end at {head[:20]}, which no Airflow has that the portal "
        f"knows. It takes Airflow {OLDEST} and 3; a newer one may come with a newer portal."
    )
