"""An Airflow as files and processes: runtimes, programs, configuration, code, logs."""
