"""DNS queries that verify domains."""

from django.conf import settings

LOOKUP_SECONDS = 5.0


def txt_records(*, name: str) -> tuple[str, ...]:
    """Return the TXT records of a name, none when it has none. Raises LookupFailed."""
    # Two MB in every web process, for what is asked once a day.
    import dns.exception  # noqa: PLC0415 - see above
    import dns.resolver  # noqa: PLC0415 - see above

    resolver = dns.resolver.Resolver(configure=not settings.DNS_SERVERS)
    if settings.DNS_SERVERS:
        hosts = [server.rpartition(":") for server in settings.DNS_SERVERS]
        resolver.nameservers = [host for host, _, _ in hosts]
        resolver.port = int(hosts[0][2])
    try:
        answer = resolver.resolve(name, "TXT", lifetime=LOOKUP_SECONDS)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return ()
    except dns.exception.DNSException:
        raise LookupFailed from None
    return tuple(b"".join(record.strings).decode(errors="replace") for record in answer)


class LookupFailed(Exception):
    """No name server answered."""
