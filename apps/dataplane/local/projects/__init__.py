"""Projects on this machine: their packages, their plugins, and what their DAG files define."""
