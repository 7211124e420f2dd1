"""An Airflow from elsewhere becomes an archive that a new Deployment is restored from.

a dump, or a running server ──▶ loading ──▶ a database on a server of its own ──▶ examining
                                                    └──▶ preparing ──▶ archive
"""
