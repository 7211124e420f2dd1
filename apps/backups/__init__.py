"""Backups of metadata databases: on demand, by a schedule, before an upgrade or a deletion.

services   ask for one      ┐
schedules  ask for theirs   ├─▶ Backup, waiting ──▶ running: the job that lets the plane write it
cleanup    removes old ones ┘
restoring  a revision with a backup, of the same Deployment or of a new one; the reconciler
           applies it like any other
"""
