"""The flags of what an operator runs (`demo`, `server`, `control`, `reload`, `service`), and the records they make."""

from argparse import REMAINDER, ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from tunnel.cli.commands import ControlCommand, DemoCommand, ReloadCommand, ServerCommand, ServiceCommand
from tunnel.cli.output_arguments import OutputTyped, add_keylog, add_output, output_of

OperatorCommand: TypeAlias = DemoCommand | ServerCommand | ControlCommand | ReloadCommand | ServiceCommand

SERVICE_VERBS: Final[Mapping[str, str]] = {
    "install": "write unit files, enable and start them",
    "uninstall": "stop, disable and remove them",
    "status": "show the unit files and what runs",
}

DATABASE: Final = "postgresql://USER@HOST/NAME or sqlite:FILE (TUNNEL_DATABASE; default: in the state directory)"
_CERTIFICATE: Final = (
    "certificate chain (PEM) instead of a development one; again, each with its --key, for one more, chosen by name"
)
_TRUST_PROXY: Final = (
    "connections from such addresses begin with a PROXY protocol header, which says who the visitor is (repeatable)"
)
_API: Final = "where API and dashboard answer (default 127.0.0.1:7480); none: there are none, and no database"
_API_TRUST_PROXY: Final = (
    "proxies in front of the API that say who asks, by X-Forwarded-For or Forwarded (an address or block; repeatable)"
)
_DEMO_API: Final = "where dashboard and API answer (default 127.0.0.1:7480, or the next free port)"
_REDIRECT: Final = "send visitors who come without TLS to the https address (308); needs --cert and --key"


class ServerTyped(OutputTyped):
    """What argparse fills in of these commands."""

    local: str | None = None
    public: str | None = None
    domain: str | None = None
    agents: str | None = None
    state: str | None = None
    cert: list[str] | None = None
    key: list[str] | None = None
    config: str | None = None
    trust_proxy: list[str] | None = None
    api_trust_proxy: list[str] | None = None
    redirect_http: bool = False
    tcp_ports: str | None = None
    workers: str | None = None
    api: str | None = None
    database: str | None = None
    name: str | None = None
    user: bool = False
    dry_run: bool = False
    sockets: bool = False
    units: str | None = None
    arguments: tuple[str, ...] = ()


def operator_command_of(typed: ServerTyped, verb: str, said: Sequence[str]) -> OperatorCommand | None:
    """The command that was typed, when it is one of these; `said` is the whole line, for workers to be told."""
    output = output_of(typed)
    match verb:
        case "demo":
            return DemoCommand(typed.local, typed.public, output, typed.api)
        case "server":
            places = (typed.domain, typed.public, typed.agents, typed.state)
            certificates = (tuple(typed.cert or ()), tuple(typed.key or ()))
            files = (typed.keylog, typed.tcp_ports, typed.config)
            upstreams = tuple(typed.trust_proxy or ())
            return ServerCommand(
                *places, *certificates, *files, output, typed.workers, tuple(said), upstreams, typed.api,
                typed.database, redirect_http=typed.redirect_http, api_trust_proxy=tuple(typed.api_trust_proxy or ()),
            )  # fmt: skip
        case "control":
            proxies = tuple(typed.api_trust_proxy or ())
            return ControlCommand(typed.state, typed.api, typed.database, typed.config, output, proxies)
        case "reload":
            return ReloadCommand(typed.state, typed.config)
        case "install" | "uninstall" | "status":
            how = (typed.user, typed.dry_run, typed.sockets, typed.units)
            return ServiceCommand(verb, typed.name, *how, tuple(typed.arguments))
        case _:
            return None


def add_demo(demo: ArgumentParser) -> None:
    """The flags of `demo`."""
    demo.add_argument("--local", metavar="TARGET", help="expose this instead of the sample site: 3000, host:3000, ...")
    demo.add_argument(
        "--public", metavar="HOST:PORT", help="where visitors come (default 127.0.0.1:8080, or the next free port)"
    )
    demo.add_argument("--api", metavar="HOST:PORT|none", help=_DEMO_API)
    add_output(demo)


def add_server(server: ArgumentParser) -> None:
    """The flags of `server`."""
    server.add_argument("--domain", metavar="NAME", help="the zone: visitors reach NAME.DOMAIN")
    server.add_argument("--public", metavar="HOST:PORT", help="where visitors come")
    server.add_argument("--agents", metavar="HOST:PORT", help="where agents come (TLS)")
    server.add_argument("--state", metavar="DIR", help="keys, certificates, database, journal; made when missing")
    server.add_argument("--cert", metavar="F", action="append", help=_CERTIFICATE)
    server.add_argument("--key", metavar="F", action="append", help="its private key (PEM)")
    server.add_argument("--workers", metavar="N", help="so many processes under a supervisor (default: one without)")
    server.add_argument("--tcp-ports", metavar="LOW-HIGH", help="public TCP ports to give out to `tunnel tcp`")
    add_keylog(server)
    server.add_argument("--trust-proxy", metavar="BLOCK", action="append", help=_TRUST_PROXY)
    server.add_argument("--redirect-http", action="store_true", help=_REDIRECT)
    _add_control_flags(server)
    server.add_argument("--config", metavar="FILE", help="a config file; flags override it")
    add_output(server)


def add_control(control: ArgumentParser) -> None:
    """The flags of `control`."""
    control.add_argument("--state", metavar="DIR", help="the state directory of the server")
    _add_control_flags(control)
    control.add_argument("--config", metavar="FILE", help="the server's config file; flags override it")
    add_output(control)


def add_reload(reload: ArgumentParser) -> None:
    """The flags of `reload`."""
    reload.add_argument("--state", metavar="DIR", help="the state directory of the server")
    reload.add_argument("--config", metavar="FILE", help="its config file, when that names the directory")


def add_service(parser: ArgumentParser, verb: str) -> None:
    """The flags of `service VERB`."""
    if verb == "install":
        parser.add_argument("--sockets", action="store_true", help="let systemd open the ports of a server")
    parser.add_argument("--name", metavar="NAME", help="of the units (default tunnel-server, or tunnel-NAME)")
    parser.add_argument("--user", action="store_true", help="a service of your own instead of the system's")
    parser.add_argument("--units", metavar="DIR", help="write there and start nothing")
    if verb != "status":
        parser.add_argument("--dry-run", action="store_true", help="show what would be done")
    if verb == "install":
        parser.add_argument(
            "arguments",
            metavar="COMMAND",
            nargs=REMAINDER,
            help="what to run, behind all flags: server --config F, http 3000 --name web ...",
        )


def _add_control_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--api", metavar="HOST:PORT|none", help=_API)
    parser.add_argument("--database", metavar="URL", help=DATABASE)
    parser.add_argument("--api-trust-proxy", metavar="BLOCK", action="append", help=_API_TRUST_PROXY)
