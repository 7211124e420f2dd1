"""Lists of DAGs, the pages of one DAG, its runs and tasks, and the actions on them."""
