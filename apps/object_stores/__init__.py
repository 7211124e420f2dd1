"""Buckets of an organization on S3-compatible servers: where its backups lie, and the copy of its
status page.

services ─▶ ObjectStore (one for each use; earlier ones stay as long as something lies there)
backups, status pages ─▶ transfers ─▶ client ─▶ guarded HTTP, signed by botocore
"""
