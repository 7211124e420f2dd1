"""An Airflow from elsewhere becomes an archive that a new Deployment is restored from.

a dump, or a running server ──▶ loading ──▶ a database of its own ──▶ examining
                                                    └──▶ preparing ──▶ archive
"""
