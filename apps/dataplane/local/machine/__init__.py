"""This machine: supervisord, PostgreSQL and Valkey, ports, processes."""
