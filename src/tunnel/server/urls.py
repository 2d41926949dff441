"""Where names answer, as people and programs are told."""

from typing import Final, final

from tunnel.core.base.ids import Label
from tunnel.core.route.lease import Lease
from tunnel.core.token.token import EndpointKind
from tunnel.server.certificates import Certificates

_HTTP_PORT: Final = 80
_HTTPS_PORT: Final = 443


@final
class Urls:
    """The addresses of one server, once its doors have their ports.

    A name's own address is https where a certificate of the operator is for it: what a development authority signed
    would greet every visitor with a warning, so there http stays the address, and https is told beside it (ADR 0039).
    """

    def __init__(
        self, domain: str, plain: int, tls: int, trusted: Certificates | None, *, redirects: bool = False
    ) -> None:
        self._domain: Final = domain
        self._plain: Final = "" if plain == _HTTP_PORT else f":{plain}"
        self._tls: Final = "" if tls == _HTTPS_PORT else f":{tls}"
        self._trusted: Final = trusted
        self.secure_port: Final = self._tls if redirects and self._is_trusted("name") else None
        """Where visitors in the clear are sent, as `:port` or "" for the usual one; None when they are served."""

    def of_name(self, name: Label) -> str:
        """The address of an HTTP endpoint."""
        return self._https(name) if self._is_trusted(name) else self._http(name)

    def of_lease(self, lease: Lease, port: int) -> str:
        """The address of an endpoint of any kind; `port` is that of a TCP one."""
        match lease.kind:
            case EndpointKind.HTTP:
                return self.of_name(lease.name)
            case EndpointKind.TLS:
                return f"tls://{lease.name}.{self._domain}{self._tls or f':{_HTTPS_PORT}'}"
            case EndpointKind.TCP:
                return f"tcp://{self._domain}:{port}"

    def pattern(self) -> str:
        """The same with NAME where a name goes."""
        return self._https("NAME") if self._is_trusted("name") else self._http("NAME")

    def https_pattern(self) -> str:
        """The https address in any case."""
        return self._https("NAME")

    def _is_trusted(self, name: str) -> bool:
        return self._trusted is not None and self._trusted.covers(f"{name}.{self._domain}")

    def _http(self, name: str) -> str:
        return f"http://{name}.{self._domain}{self._plain}/"

    def _https(self, name: str) -> str:
        return f"https://{name}.{self._domain}{self._tls}/"
