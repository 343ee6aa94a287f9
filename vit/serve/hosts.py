"""Which names a browser may reach the server by, and from which pages.

A page of another site can make a browser send requests to 127.0.0.1. They carry its name: in `Origin`, or,
where it has had its own name resolve to 127.0.0.1 (DNS rebinding), in `Host`.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import NamedTuple

from vit.serve.errors import Refusal
from vit.serve.settings import Settings, is_loopback

AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE)
PORTS = {"http": 80, "https": 443}


class Authority(NamedTuple):
    """`HOST[:PORT]` of a URL; the host in lower case, without brackets and final dot."""

    host: str
    port: int | None


def check_host(headers: Mapping[str, str], local: str | None, settings: Settings) -> None:
    """Refuse a request that was sent to another name than the server's, or by a page of another site.

    Args:
        headers: Names in lower case.
        local: The address of this end of the connection.
        settings: The server's.

    Raises:
        Refusal: 403.
    """
    host = parse_authority(headers.get("host", ""))
    if host is None or not _is_own(host.host, local, settings):
        raise Refusal(
            403,
            "foreign_host",
            "the header Host names another server than this one; if it is that of a proxy, start vit serve "
            "with --allow-host NAME",
        )
    origin = headers.get("origin")
    if origin is not None and not _same_site(origin, host, settings):
        raise Refusal(
            403,
            "foreign_origin",
            "the header Origin names a page of another site, which may not use this server; if it is that of "
            "a proxy, start vit serve with --allow-host NAME",
        )


def parse_authority(text: str) -> Authority | None:
    """`HOST[:PORT]`, or None if it is no such thing."""
    found = AUTHORITY.fullmatch(text)
    if found is None:
        return None
    port = found["port"]
    return Authority(found["host"].strip("[]").rstrip(".").lower(), None if port is None else int(port))


def _is_own(host: str, local: str | None, settings: Settings) -> bool:
    if is_loopback(host) or host in {
        name.lower() for name in (settings.host, local, *settings.allow_hosts) if name
    }:
        return True
    # Rebinding needs a name: a page at an address was sent by that address.
    return not is_loopback(settings.host) and _is_address(host)


def _same_site(origin: str, host: Authority, settings: Settings) -> bool:
    scheme, separator, rest = origin.lower().partition("://")
    found = parse_authority(rest)
    if not separator or scheme not in PORTS or found is None:  # `null` too: a page without a site
        return False
    if found.host in {name.lower() for name in settings.allow_hosts}:
        return True
    default = PORTS[scheme]
    return (found.host, found.port or default) == (host.host, host.port or default)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
