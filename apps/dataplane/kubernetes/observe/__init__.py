"""What is true on a cluster: snapshots, health, drift, logs and live metrics."""
