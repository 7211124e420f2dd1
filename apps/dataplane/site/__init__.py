"""What a site has around an Airflow, as variables of its processes: roots of trust, telemetry."""
