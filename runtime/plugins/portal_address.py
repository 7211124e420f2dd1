"""The address by which an Airflow process is known: that of its pod, which has no name in DNS.

Airflow's own function for it knows IPv4 alone.
"""

import socket


def pod_address() -> str:
    """Return the IPv4 address of this host, or its IPv6 address where it has no other: in brackets,
    because Airflow writes it into the address of a log as it is.
    """
    found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    address = str(found[0][4][0])
    return f"[{address}]" if ":" in address else address
