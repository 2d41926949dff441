"""From what was typed, the environment and the config file to validated settings: flags win over environment over file.

All problems are found together, so that a person corrects a command once and not five times.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias, TypeVar, final

from tunnel.agent.settings import AgentSettings, Checks, LocalService
from tunnel.api.settings import DEFAULT_API
from tunnel.cli.commands import ControlCommand, HttpCommand, Output, ReloadCommand, ServerCommand, Sharing
from tunnel.cli.config import AgentTable, Config, ServerTable, load_config
from tunnel.cli.databases import database_asked
from tunnel.cli.places import (
    NO_API,
    ApiPlace,
    BadText,
    api_of,
    domain_of,
    host_header_of,
    listener_of,
    peer_of,
    port_of,
    ports_of,
    raw_target_of,
    target_of,
    workers_of,
)
from tunnel.cli.policies import (
    PolicyFlags,
    RatesAsked,
    bandwidth_of,
    blocks_among,
    burst_of,
    concurrent_of,
    proxy_version_of,
    rate_of,
    rates_of,
    sign_ins_of,
)
from tunnel.cli.problems import BadArgument, CannotRead, Missing, OnlyTogether, Problem, Problems
from tunnel.cli.sharing import CHECK_SECONDS, check_path_of, exposure_of, interval_of, links_of
from tunnel.cli.tokens import token_of
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.messages import HostHeader, Keep, Share
from tunnel.core.policy.ip import Block
from tunnel.core.policy.rules import BLOCKS_MAX, Policy, SignIn
from tunnel.core.proxy.header import ProxyVersion
from tunnel.core.route.name import label_of
from tunnel.core.token.token import EndpointKind
from tunnel.server.settings import CertificateFiles, ControlChoice, ServerSettings

T = TypeVar("T")
Given: TypeAlias = tuple[str, str | None]
"""A flag or variable, and its text if it is there."""

CONTROL_PROGRAM: Final = (sys.executable, "-P", "-m", "tunnel.cli.control")
_DEFAULT_HOST_HEADER: Final = "keep"


NO_ENVIRONMENT: Final[Mapping[str, str]] = {}


def server_settings(
    command: ServerCommand, environment: Mapping[str, str] = NO_ENVIRONMENT
) -> Outcome[ServerSettings, Problems]:
    """Everything a server needs to know, or all that is missing and wrong."""
    gathering = _Gathering()
    config = gathering.config(command.config)
    table = config.server
    domain = gathering.needed("domain", [("--domain", command.domain)], domain_of, table.domain)
    public = gathering.needed("public address", [("--public", command.public)], listener_of, table.public)
    agents = gathering.needed("agents' address", [("--agents", command.agents)], listener_of, table.agents)
    state = gathering.needed("state directory", [("--state", command.state)], _path_of, table.state)
    certificates = gathering.certificates(command, config)
    keylog = gathering.optional([("--keylog", command.keylog)], _path_of, table.keylog)
    proxy_from = gathering.blocks("--trust-proxy", command.trust_proxy, table.proxy_from)
    workers = gathering.optional([("--workers", command.workers)], workers_of, table.workers)
    tcp_ports = gathering.optional([("--tcp-ports", command.tcp_ports)], ports_of, table.tcp_ports)
    redirects = command.redirect_http or table.redirect_http
    if redirects and not certificates:
        gathering.problems.append(OnlyTogether("--redirect-http", "--cert and --key"))
    control = gathering.control(command, environment, table)
    if gathering.problems or domain is None or public is None or agents is None or state is None:
        return Failure(tuple(gathering.problems))
    is_shown = not command.output.is_quiet
    return Success(
        ServerSettings(
            domain,
            public,
            agents,
            state,
            certificates,
            config.limits,
            tcp_ports=tcp_ports,
            keylog=keylog,
            requests_shown=is_shown,
            policy=config.policy,
            redirects_http=redirects,
            proxy_from=proxy_from,
            workers=workers or 0,
            control=control,
        )
    )


def control_settings(
    command: ControlCommand, environment: Mapping[str, str]
) -> Outcome[tuple[Path, ControlChoice], Problems]:
    """The state directory of a control process, and what it is to do."""
    gathering = _Gathering()
    table = gathering.config(command.config).server
    state = gathering.needed("state directory", [("--state", command.state)], _path_of, table.state)
    choice = gathering.control(command, environment, table)
    if choice is None and not gathering.problems:
        gathering.problems.append(BadArgument("--api", NO_API, "an address; `tunnel control` is the API"))
    if gathering.problems or state is None or choice is None:
        return Failure(tuple(gathering.problems))
    return Success((state, choice))


def output_of_server(command: ServerCommand | ControlCommand) -> Output:
    """How it tells what happens: by its flags, and what they leave open by the file; of one at fault nothing."""
    return _told(command.output, _Gathering().config(command.config).server.log_format)


def output_of_agent(command: HttpCommand) -> Output:
    """The same of an agent."""
    return _told(command.output, _Gathering().config(command.config).agent.log_format)


def _told(output: Output, configured: str | None) -> Output:
    return dataclasses.replace(output, log_format=output.log_format or configured)


def state_of(command: ReloadCommand) -> Outcome[Path, Problems]:
    """The state directory of the server that is meant."""
    gathering = _Gathering()
    table = gathering.config(command.config).server
    state = gathering.needed("state directory", [("--state", command.state)], _path_of, table.state)
    return Failure(tuple(gathering.problems)) if gathering.problems or state is None else Success(state)


def agent_settings(command: HttpCommand, environment: Mapping[str, str]) -> Outcome[AgentSettings, Problems]:
    """Everything an agent needs to know, its token read, or all that is missing and wrong."""
    gathering = _Gathering()
    config = gathering.config(command.config)
    table = config.agent
    servers = [("--server", command.server), ("TUNNEL_SERVER", environment.get("TUNNEL_SERVER") or None)]
    server = gathering.needed("server", servers, peer_of, table.server)
    local, host_header = gathering.local(command, table)
    port = gathering.optional([("--port", command.port)], port_of, None)
    name = gathering.optional([("--name", command.name), ("name", table.name or None)], _label_of, None)
    ca = gathering.optional([("--ca", command.ca)], _path_of, table.ca)
    keylog = gathering.optional([("--keylog", command.keylog)], _path_of, table.keylog)
    policy, proxy_protocol = gathering.policy(command.policy, table, name or "")
    if proxy_protocol is not None and local is not None and local.tls:
        gathering.problems.append(
            BadArgument("--proxy-protocol", proxy_protocol.value, "of use with an https:// target")
        )
    links, checks = gathering.crew(command.sharing, config)
    seconds = gathering.optional([("--ttl", command.ttl)], exposure_of, table.ttl)
    token = token_of(command.token_file, environment, table.token_file)
    if not isinstance(token, Success):
        gathering.problems.append(error_of(token))
        return Failure(tuple(gathering.problems))
    if gathering.problems or server is None or local is None or host_header is None:
        return Failure(tuple(gathering.problems))
    is_shown = not command.output.is_quiet
    return Success(
        AgentSettings(
            server,
            local,
            name or "",
            value_of(token),
            host_header,
            ca,
            config.limits,
            requests_shown=is_shown,
            keylog=keylog,
            policy=policy,
            proxy_protocol=proxy_protocol,
            links=links,
            share=Share.POOL if command.sharing.is_pooled or table.pool else Share.ALONE,
            checks=checks,
            ttl_seconds=seconds or 0,
            kind=command.kind,
            port=port or 0,
        )
    )


@final
class _Gathering:
    """What was wrong so far; finished when its maker has asked for every setting."""

    def __init__(self) -> None:
        self.problems: Final[list[Problem]] = []

    def config(self, file: str | None) -> Config:
        """What the config file says; nothing when there is none or it is wrong."""
        if file is None:
            return Config()
        loaded = load_config(Path(file))
        if isinstance(loaded, Success):
            return value_of(loaded)
        self.problems.extend(error_of(loaded))
        return Config()

    def optional(
        self, givens: list[Given], parse: Callable[[str], Outcome[T, BadText]], configured: T | None
    ) -> T | None:
        """The value of the first source that is there; None when there is none, or when it is wrong."""
        for source, text in givens:
            if text is None:
                continue
            parsed = parse(text)
            if isinstance(parsed, Success):
                return value_of(parsed)
            self.problems.append(BadArgument(source, text, error_of(parsed).wanted))
            return None
        return configured

    def needed(
        self, what: str, givens: list[Given], parse: Callable[[str], Outcome[T, BadText]], configured: T | None
    ) -> T | None:
        """The same, and a problem when no source is there."""
        if configured is None and all(text is None for _, text in givens):
            self.problems.append(Missing(what, (*(source for source, _ in givens), "a config file with --config")))
        return self.optional(givens, parse, configured)

    def certificates(self, command: ServerCommand, config: Config) -> tuple[CertificateFiles, ...]:
        """Those of the flags, or else those of the file: the pair of `[server]` first."""
        if len(command.key) > len(command.cert):
            self.problems.append(OnlyTogether("--key", "--cert"))
        if len(command.cert) > len(command.key):
            self.problems.append(OnlyTogether("--cert", "--key"))
        if command.cert:
            pairs = zip(command.cert, command.key, strict=False)
            return tuple(CertificateFiles(Path(cert), Path(key)) for cert, key in pairs)
        table = config.server
        if (table.cert is None) is not (table.key is None):
            given, other = ("server.key", "server.cert") if table.cert is None else ("server.cert", "server.key")
            self.problems.append(OnlyTogether(given, other))
        own = () if table.cert is None else (CertificateFiles(table.cert, table.key),)
        return (*own, *config.certificates)

    def control(
        self, command: ServerCommand | ControlCommand, environment: Mapping[str, str], table: ServerTable
    ) -> ControlChoice | None:
        """The control process that is wanted; None when there shall be none."""
        place = self.optional([("--api", command.api)], api_of, table.api) or ApiPlace(DEFAULT_API)
        asked = database_asked(command.database, environment, table.database)
        if not isinstance(asked, Success):
            self.problems.append(error_of(asked))
            return None
        proxies = self.blocks("--api-trust-proxy", command.api_trust_proxy, table.api_proxy_from)
        if place.address is None:
            return None
        return ControlChoice(place.address, value_of(asked), CONTROL_PROGRAM, proxies=proxies)

    def blocks(self, source: str, givens: tuple[str, ...], configured: tuple[Block, ...] | None) -> tuple[Block, ...]:
        """The blocks that a repeated flag names, or those of the file."""
        blocks, wrong = blocks_among(givens)
        self.problems.extend(BadArgument(source, text, bad.wanted) for text, bad in wrong)
        return blocks if givens else configured or ()

    def policy(self, flags: PolicyFlags, table: AgentTable, name: str) -> tuple[Policy, ProxyVersion | None]:
        """What an endpoint asks of its visitors, and how its local service is told of them."""
        asked = RatesAsked(
            self.optional([("--rate", flags.rate)], rate_of, table.rate),
            self.optional([("--burst", flags.burst)], burst_of, table.burst),
            self.optional([("--concurrent", flags.concurrent)], concurrent_of, table.concurrent),
            self.optional([("--bandwidth", flags.bandwidth)], bandwidth_of, table.bandwidth),
        )
        if asked.burst is not None and flags.rate is None and table.rate is None:
            self.problems.append(OnlyTogether("--burst", "--rate"))
        allow = self.blocks("--allow-ip", flags.allow_ip, table.allow_ip)
        deny = self.blocks("--deny-ip", flags.deny_ip, table.deny_ip)
        if len(allow) + len(deny) > BLOCKS_MAX:
            self.problems.append(CannotRead("--allow-ip and --deny-ip", f"more than {BLOCKS_MAX} blocks together"))
        file = self.optional([("--basic-auth-file", flags.basic_auth_file)], _path_of, table.basic_auth_file)
        told = self.optional([("--proxy-protocol", flags.proxy_protocol)], proxy_version_of, table.proxy_protocol)
        return Policy(rates_of(asked), allow, deny, self._sign_ins(file, name)), told

    def _sign_ins(self, file: Path | None, name: str) -> tuple[SignIn, ...]:
        if file is None:
            return ()
        read = sign_ins_of(file, "--basic-auth-file", name)
        if isinstance(read, Success):
            return value_of(read)
        self.problems.append(error_of(read))
        return ()

    def crew(self, sharing: Sharing, config: Config) -> tuple[int, Checks | None]:
        """How many links, and whether and how the local service is checked."""
        table, most = config.agent, config.limits.links_per_agent_max
        links = self.optional([("--links", sharing.links)], links_of, table.links) or 1
        if links > most:
            source = "links" if sharing.links is None else "--links"
            self.problems.append(BadArgument(source, str(links), f"at most {most} (the limit links_per_agent_max)"))
        path = self.optional([("--health-path", sharing.health_path)], check_path_of, table.health_path)
        interval = self.optional([("--health-interval", sharing.health_interval)], interval_of, table.health_interval)
        if path is None and sharing.health_interval is not None and sharing.health_path is None:
            self.problems.append(OnlyTogether("--health-interval", "--health-path"))
        return links, None if path is None else Checks(path, interval or CHECK_SECONDS)

    def local(self, command: HttpCommand, table: AgentTable) -> tuple[LocalService | None, HostHeader | None]:
        """The local service and what it shall see as Host, which depends on it."""
        is_http = command.kind is EndpointKind.HTTP
        found = self.optional([("TARGET", command.target)], target_of if is_http else raw_target_of, None)
        authority = self.optional([("--local-ca", command.local_ca)], _path_of, table.local_ca)
        if found is None or not is_http:
            return found, Keep()
        if command.local_ca is not None and not found.tls:
            self.problems.append(BadArgument("--local-ca", command.local_ca, "of use without an https:// target"))
        service = dataclasses.replace(found, ca=authority if found.tls else None)
        wanted = command.host_header or table.host_header or _DEFAULT_HOST_HEADER
        host_header = host_header_of(wanted, service)
        if isinstance(host_header, Success):
            return service, value_of(host_header)
        self.problems.append(BadArgument("--host-header", wanted, error_of(host_header).wanted))
        return service, None


def _path_of(text: str) -> Outcome[Path, BadText]:
    return Failure(BadText(text, "a path")) if text == "" or "\0" in text else Success(Path(text))


def _label_of(text: str) -> Outcome[str, BadText]:
    label = label_of(text)
    if isinstance(label, Success):
        return Success(str(value_of(label)))
    return Failure(BadText(text, f"a name: it {error_of(label).fault.value}"))
