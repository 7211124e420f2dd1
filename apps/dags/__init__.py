"""DAGs, their runs and tasks: what each Airflow knows of them, read two ways.

    summaries        lists: one request a minute to each Airflow, kept as rows (`DagSummary`), so
                     that a list over all Deployments waits for none of them
    airflow          one DAG, one run, one task and its log: asked of that Airflow's REST API when a
                     person opens the page, bounded and cleaned
    pages            lists from the rows, everything else from the API, and the actions
    services         the actions: sent to Airflow as the portal, recorded as the person

What an Airflow says is the word of a machine that runs user code. Nothing of it is trusted: not its
length, not its shape, not its characters.
"""
