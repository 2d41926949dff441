"""The flags of `http`, `tcp` and `tls`, which expose a local service, and the record that they make."""

from argparse import SUPPRESS, ArgumentParser
from collections.abc import Mapping
from typing import Final

from tunnel.cli.commands import HttpCommand, Sharing
from tunnel.cli.output_arguments import OutputTyped, add_keylog, add_output, output_of
from tunnel.cli.policies import PolicyFlags, add_policy_flags
from tunnel.cli.said_aloud import RefusePassword, RefuseToken
from tunnel.cli.store_arguments import KINDS

AGENT_VERBS: Final[Mapping[str, str]] = {
    "http": "expose a local HTTP service",
    "tcp": "expose a local TCP service at a public port",
    "tls": "expose a local TLS service; its TLS passes through unopened",
}

_HTTP_TARGET: Final = "3000, host:3000, http://host:3000 or https://host:3000"
_HOST_HEADER: Final = "what the local service sees as Host: keep (the default), rewrite to its own address, or a value"
_POOL: Final = "share the name with other agents of the account that say --pool, too; requests go to the least busy"
_HEALTH: Final = "GET this of the local service now and then, and take no requests while it fails"


class AgentTyped(OutputTyped):
    """What argparse fills in of these commands."""

    target: str = ""
    name: str | None = None
    server: str | None = None
    token_file: str | None = None
    ca: str | None = None
    local_ca: str | None = None
    host_header: str | None = None
    config: str | None = None
    ttl: str | None = None
    rate: str | None = None
    burst: str | None = None
    concurrent: str | None = None
    bandwidth: str | None = None
    allow_ip: list[str] | None = None
    deny_ip: list[str] | None = None
    basic_auth_file: str | None = None
    proxy_protocol: str | None = None
    links: str | None = None
    pool: bool = False
    health_path: str | None = None
    health_interval: str | None = None
    port: str | None = None


def agent_command_of(typed: AgentTyped, verb: str) -> HttpCommand:
    """The command that was typed: one of `AGENT_VERBS`."""
    names = (typed.target, typed.name, typed.server, typed.token_file)
    trust = (typed.ca, typed.local_ca, typed.host_header, typed.keylog)
    sharing = Sharing(typed.links, typed.pool, typed.health_path, typed.health_interval)
    asked = _policy_flags(typed)
    return HttpCommand(
        KINDS[verb], typed.port, *names, *trust, typed.config, output_of(typed), asked, sharing, typed.ttl
    )


def add_agent(parser: ArgumentParser, verb: str) -> None:
    """The flags of one of `AGENT_VERBS`."""
    parser.add_argument("target", metavar="TARGET", help=_HTTP_TARGET if verb == "http" else "3000 or host:3000")
    if verb == "http":
        _add_http(parser)
    if verb == "tcp":
        parser.add_argument("--port", metavar="N", help="the public port (default: any that the server gives out)")
    parser.add_argument("--name", "--subdomain", metavar="NAME", help="the public name (default: any free one)")
    parser.add_argument("--server", metavar="HOST:PORT", help="the server's agent listener (TUNNEL_SERVER)")
    parser.add_argument(
        "--token-file", metavar="F", help="holds the token; - is standard input (TUNNEL_TOKEN_FILE, or TUNNEL_TOKEN)"
    )
    parser.add_argument("--token", action=RefuseToken, nargs="?", help=SUPPRESS)
    parser.add_argument("--ca", metavar="F", help="trust this authority (PEM) for the server instead of the system's")
    parser.add_argument("--ttl", metavar="T", help="expose it for so long, then end: 30m, 2h (default: the account's)")
    add_policy_flags(parser)
    parser.add_argument(
        "--links", metavar="N", help="links to keep up; losing one loses only what runs on it (default 1)"
    )
    parser.add_argument("--pool", action="store_true", help=_POOL)
    add_keylog(parser)
    parser.add_argument("--config", metavar="FILE", help="a config file; flags and environment override it")
    add_output(parser)


def _add_http(parser: ArgumentParser) -> None:
    parser.add_argument("--local-ca", metavar="F", help="trust this authority (PEM) for an https target")
    parser.add_argument("--host-header", metavar="rewrite|keep|VALUE", help=_HOST_HEADER)
    parser.add_argument("--basic-auth-file", metavar="F", help="ask visitors to sign in; holds user:password lines")
    parser.add_argument("--basic-auth", action=RefusePassword, nargs="?", help=SUPPRESS)
    parser.add_argument("--health-path", metavar="PATH", help=_HEALTH)
    parser.add_argument("--health-interval", metavar="TIME", help="between two checks: 5s (the default), 30s, 2m")


def _policy_flags(typed: AgentTyped) -> PolicyFlags:
    return PolicyFlags(
        typed.rate,
        typed.burst,
        typed.concurrent,
        typed.bandwidth,
        tuple(typed.allow_ip or ()),
        tuple(typed.deny_ip or ()),
        typed.basic_auth_file,
        typed.proxy_protocol,
    )
