"""Origins: the hosts by which the service may be addressed, and the web pages that may use it.

A browser lets any page send requests to this machine. A page of another origin cannot read the answers, but its rows
would count as traffic; one whose own name was pointed at this machine (DNS rebinding) could read them too.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.types import Scope

from artifact_flow.serving.problems import Problem
from artifact_flow.serving.settings import VARIABLE, ServiceSettings

Fields = Mapping[bytes, bytes]  # a request's header fields

HERE = ("localhost", "127.0.0.1", "::1")
# for probes, which address a host as they like
PROBES = ("/health", "/ready", "/ping", "/v2/health/live", "/v2/health/ready")
KNOWN = 100  # values of Host that are remembered
READING = ("GET", "HEAD", "OPTIONS")
OWN = (b"same-origin", b"none")  # values of Sec-Fetch-Site for the service's own page, and for an address typed in


class Origins:
    """Checks the headers Host, Origin and Sec-Fetch-Site."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Allow the hosts in the settings and, if the service listens on this machine only, the names of it."""
        self.own = frozenset(host.lower() for host in settings.hosts)
        names = {*self.own, *HERE, settings.host.lower()}
        self.hosts = frozenset(names) if self.own or is_loopback(settings.host) else None
        self._known: set[bytes] = set()  # values of Host that were allowed

    def check(self, scope: Scope, fields: Fields) -> None:
        """Raise Problem for a request to a host that is not this service's, or from a page of another origin."""
        if len(fields) < len(scope["headers"]) and sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise Problem(400, "the request has two Host headers: send one.")
        host = fields.get(b"host")
        if host not in self._known:
            self._check_host(host, scope)
        if (b"origin" in fields or b"sec-fetch-site" in fields) and scope["method"] not in READING:
            self._check_page(host or b"", fields.get(b"origin"), fields.get(b"sec-fetch-site"))

    def _check_host(self, host: bytes | None, scope: Scope) -> None:
        if host is None:
            if scope["http_version"] != "1.0":
                raise Problem(400, "the request has no Host header, which HTTP/1.1 requires: send one.")
            return
        name = host_name(host)
        if self.hosts is not None and name not in self.hosts:
            if scope["path"] in PROBES:
                return
            raise Problem(
                403,
                f"the host {name[:100]!r} is not this service's: address it as {' or '.join(sorted(self.hosts))}, "
                f'or list the name in {VARIABLE} as "hosts".',
            )
        if len(self._known) < KNOWN:
            self._known.add(host)

    def _check_page(self, host: bytes, origin: bytes | None, site: bytes | None) -> None:
        if site in OWN:
            return
        if origin is not None:
            try:
                page = urlsplit(origin.decode("latin-1"))
            except ValueError:
                page = urlsplit("")
            same = page.netloc.encode("latin-1") == host and site is None
            if same or (page.hostname or "") in self.own:
                return
        shown = (origin or site or b"").decode("latin-1")[:100]
        raise Problem(
            403, f"the request comes from a page of another origin ({shown}): send it from the service's own."
        )


def host_name(host: bytes) -> str:
    """Return the name or the address in a Host header, without the port."""
    text = host.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].removesuffix(".")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a service that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
