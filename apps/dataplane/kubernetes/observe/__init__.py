"""Observing a cluster: snapshots, health, drift, logs and live metrics."""
