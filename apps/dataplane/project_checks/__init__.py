"""What all data planes make of a project's packages and of what its DAG files define. Pure."""
