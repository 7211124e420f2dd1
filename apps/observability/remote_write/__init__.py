"""Measurements sent on to a Prometheus or another receiver of an organization, as they come.

    samples, 30 s ──▶ `reading`: series since the last time ──▶ `encoding`: protobuf in snappy
                                                           ──▶ `sending`: one turn of one receiver

The receiver is a row (`models`), which `services` write and the page in `views` shows.
"""
