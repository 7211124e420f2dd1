"""The upgrade assistant: from one runtime of a Deployment to a newer one, with a look first and a
way back.

    checking ─▶ ready ─▶ waiting ─▶ backing-up ─▶ applying ─▶ done
        └─────────┴─────────┴────────────┴──────────┴──────▶ failed, or cancelled before it began

    checking   the job that reads the DAGs in the new runtime; nothing that runs is changed
    running    the loop that begins at the time, waits for the backup, and makes the revision
"""
