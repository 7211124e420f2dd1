"""Where an Airflow sends what it measures: metrics to StatsD or OpenTelemetry, and traces."""

from urllib.parse import urlsplit

from apps.dataplane.production import ProductionSpec


def telemetry(settings: ProductionSpec, *, ref: str, exporter: str = "") -> dict[str, str]:
    """Return the variables by which Airflow sends metrics and traces where the settings say, or
    metrics to an `exporter` (`host:port`), which passes them on.

    Airflow sends metrics to one place. Where both are set it is that of OpenTelemetry.
    """
    if settings.otel_metrics:
        sent = _to_collector("METRICS", settings.otel_metrics)
    else:
        sent = _to_statsd(exporter or settings.statsd_address)
    if settings.otel_traces:
        sent |= _to_collector("TRACES", settings.otel_traces)
        # Airflow's own default is gRPC.
        sent["OTEL_TRACES_EXPORTER"] = "otlp_proto_http"
    return sent | {"OTEL_SERVICE_NAME": ref} if "OTEL" in "".join(sent) else sent


def _to_statsd(address: str) -> dict[str, str]:
    if not address:
        return {}
    host, _, port = address.rpartition(":")
    return {
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": host,
        "AIRFLOW__METRICS__STATSD_PORT": port,
    }


def _to_collector(signal: str, endpoint: str) -> dict[str, str]:
    """Return the endpoint as the SDK of OpenTelemetry reads it, and as Airflow before 3.2 does."""
    url = urlsplit(endpoint)
    is_encrypted = url.scheme == "https"
    return {
        f"AIRFLOW__{signal}__OTEL_ON": "True",
        f"AIRFLOW__{signal}__OTEL_HOST": url.hostname or "",
        f"AIRFLOW__{signal}__OTEL_PORT": str(url.port or (443 if is_encrypted else 80)),
        f"AIRFLOW__{signal}__OTEL_SSL_ACTIVE": str(is_encrypted),
        f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT": endpoint,
        f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL": "http/protobuf",
    }
