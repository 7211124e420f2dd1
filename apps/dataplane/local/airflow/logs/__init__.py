"""Log files of programs, and what DAG files print while they are parsed."""
