"""Where an Airflow sends what it measures."""

from apps.dataplane.production import ProductionSpec


def metrics(settings: ProductionSpec) -> dict[str, str]:
    """Return the options with which Airflow sends metrics to the StatsD server of the settings."""
    if not settings.statsd_address:
        return {}
    host, _, port = settings.statsd_address.rpartition(":")
    return {
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": host,
        "AIRFLOW__METRICS__STATSD_PORT": port,
    }
