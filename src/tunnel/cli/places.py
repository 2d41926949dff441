"""Texts that name places, parsed once into values that cannot be wrong: addresses, targets, zones, host headers."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, final

from tunnel.agent.settings import LocalService
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.link.authority import authority_of
from tunnel.core.link.messages import HostHeader, Keep, Rewrite, Value
from tunnel.drive.address import Address
from tunnel.server.settings import PortRange

PORT_MAX: Final = 65_535
_PORTS: Final = re.compile(r"([1-9][0-9]{0,4})-([1-9][0-9]{0,4})", re.ASCII)
DOMAIN_CHARS_MAX: Final = 253 - 64
"""A DNS name has 253 characters at most (RFC 1035 section 2.3.4), and one label of 63 and its dot come in front."""

_ADDRESS: Final = re.compile(r"(?P<host>\[[^\]\s]*\]|[^:\s\[\]]*):(?P<port>[0-9]{1,5})", re.ASCII)
_TARGET: Final = re.compile(r"(?:(?P<scheme>https?)://)?(?P<rest>[^/@?#\s]*)/?", re.ASCII | re.IGNORECASE)
WORKERS_MAX: Final = 256
NO_API: Final = "none"
LOG_FORMATS: Final = ("json", "console")
_COUNT: Final = re.compile(r"[0-9]{1,4}", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_DATABASE: Final = re.compile(r"sqlite:.|postgres(ql)?://", re.ASCII)
_PASSWORD: Final = re.compile(r"[a-z]+://[^/?#@]*:[^/?#]*@|[^?]*[?](.*&)?password=", re.ASCII | re.IGNORECASE)
_HOST_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?", re.ASCII)
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@final
@dataclass(frozen=True, slots=True)
class BadText:
    """`seen` is not a `wanted`; the second is a description with an example."""

    seen: str
    wanted: str


_LISTENER: Final = "HOST:PORT to listen on, such as 127.0.0.1:8080, 0.0.0.0:443 or [::]:443"
_PEER: Final = "HOST:PORT of the server's agent listener, such as tunnel.example.com:7443"
_TARGETS: Final = "a local service: 3000, host:3000, http://host:3000 or https://host:3000"
_ZONE: Final = "a domain name whose sub-domains are the public names, such as tunnel.example.com"
_API: Final = "HOST:PORT for API and dashboard, such as 127.0.0.1:7480, or `none`"
_DATABASES: Final = "a database: sqlite:FILE or postgresql://USER@HOST/NAME"
_WORKERS: Final = f"a number of processes, 1 to {WORKERS_MAX}; one per core is usual"
_LOGS: Final = "`json` or `console`"
_HOSTS: Final = "`rewrite`, `keep` or a host with or without a port"


def listener_of(text: str) -> Outcome[Address, BadText]:
    """The address to listen on; port 0 lets the system choose."""
    address = _address(text)
    return Failure(BadText(text, _LISTENER)) if address is None else Success(address)


@final
@dataclass(frozen=True, slots=True)
class ApiPlace:
    """Where API and dashboard answer; None is nowhere: there is no control process."""

    address: Address | None


def api_of(text: str) -> Outcome[ApiPlace, BadText]:
    """The address of the API; port 0 lets the system choose, and `none` is no API at all."""
    if text == NO_API:
        return Success(ApiPlace(None))
    address = _address(text)
    return Failure(BadText(text, _API)) if address is None else Success(ApiPlace(address))


def database_of(text: str) -> Outcome[str, BadText]:
    """The URL of a database; it is not repeated when it is none, as it may hold a password."""
    return Success(text) if _DATABASE.match(text) else Failure(BadText("this text", _DATABASES))


def log_format_of(text: str) -> Outcome[str, BadText]:
    """How a line of a log is written."""
    return Success(text) if text in LOG_FORMATS else Failure(BadText(text, _LOGS))


def has_password(database: str) -> bool:
    """Whether a URL of a database holds a password."""
    return _PASSWORD.match(database) is not None


def peer_of(text: str) -> Outcome[Address, BadText]:
    """The address of a server to dial, with a port of 1 to 65535."""
    address = _address(text)
    return Failure(BadText(text, _PEER)) if address is None or address.port == 0 else Success(address)


def target_of(text: str) -> Outcome[LocalService, BadText]:
    """The local service that TARGET names. A bare port means `localhost`, which finds services on IPv4 and IPv6."""
    found = _TARGET.fullmatch(text)
    if found is None:
        return Failure(BadText(text, _TARGETS))
    scheme = (found["scheme"] or "http").lower()
    address = _target_address(found["rest"], _DEFAULT_PORTS[scheme] if found["scheme"] else None)
    if address is None or address.port == 0:
        return Failure(BadText(text, _TARGETS))
    return Success(LocalService(address, tls=scheme == "https"))


def workers_of(text: str) -> Outcome[int, BadText]:
    """How many worker processes, 1 to 256."""
    count = int(text) if _COUNT.fullmatch(text) else 0
    return Success(count) if 1 <= count <= WORKERS_MAX else Failure(BadText(text, _WORKERS))


def domain_of(text: str) -> Outcome[str, BadText]:
    """The zone in lower case without a final dot; an IP address is not one."""
    domain = (text.lower() if text.isascii() else "").removesuffix(".")  # the Kelvin sign lower-cases to a k
    if len(domain) > DOMAIN_CHARS_MAX or _DOMAIN.fullmatch(domain) is None or _ip(domain):
        return Failure(BadText(text, _ZONE))
    return Success(domain)


def host_header_of(text: str, local: LocalService) -> Outcome[HostHeader, BadText]:
    """What to do with the Host field: `rewrite` to that of the local service, `keep`, or a value of its own."""
    if text == "keep":
        return Success(Keep())
    wanted = authority_of(_authority_text(local) if text == "rewrite" else text)
    if not isinstance(wanted, Success):
        return Failure(BadText(text, _HOSTS))
    return Success(Rewrite(value_of(wanted)) if text == "rewrite" else Value(value_of(wanted)))


def _authority_text(local: LocalService) -> str:
    """As a browser would write it: without the port that the scheme implies."""
    implied = _DEFAULT_PORTS["https" if local.tls else "http"]
    text = str(local.address)
    return text.removesuffix(f":{implied}") if local.address.port == implied else text


def _target_address(rest: str, implied_port: int | None) -> Address | None:
    if implied_port is None and _PORT.fullmatch(rest):
        return _address(f"localhost:{rest}")
    address = _address(rest)
    if address is None and implied_port is not None:
        return _address(f"{rest}:{implied_port}")
    return address


def _address(text: str) -> Address | None:
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > PORT_MAX:
        return None
    host = found["host"]
    if host.startswith("["):
        host = host[1:-1]
        return Address(host, int(found["port"])) if _ip(host) and ":" in host else None
    return Address(host, int(found["port"])) if _ip(host) or _is_host_name(host) else None


def _is_host_name(host: str) -> bool:
    """A name, and not something made of digits and dots that resolvers read as an address in ways of their own."""
    return _HOST_NAME.fullmatch(host) is not None and not host.replace(".", "").isdigit()


def _ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def ports_of(text: str) -> Outcome[PortRange, BadText]:
    """A range of TCP ports, both ends included."""
    found = _PORTS.fullmatch(text)
    low, high = (int(found[1]), int(found[2])) if found else (1, 0)
    if not low <= high <= PORT_MAX:
        return Failure(BadText(text, "a range of TCP ports, such as 20000-20099"))
    return Success(PortRange(low, high))


def port_of(text: str) -> Outcome[int, BadText]:
    """One TCP port that a service can have."""
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(PORT_MAX)) else 0
    return Success(port) if 1 <= port <= PORT_MAX else Failure(BadText(text, "a port from 1 to 65535"))


def raw_target_of(text: str) -> Outcome[LocalService, BadText]:
    """A target without a scheme: of what passes there, nothing is known but where."""
    wanted = "a port or host:port; a raw endpoint has no scheme"
    return Failure(BadText(text, wanted)) if "://" in text else target_of(text)
