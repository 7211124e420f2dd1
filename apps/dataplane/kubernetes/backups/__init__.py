"""Backups of metadata databases on a cluster: Jobs in the Deployment's namespace, whose pods hold
the password of its own database, and addresses in a bucket that are good for one dump alone.

dumping    pg_dump ─► file of the pod ─► parts in the bucket         a job waits for it
restoring  bucket ─► file of the pod ─► Airflow stops ─► one transaction   pass by pass
"""
