"""The unit files of systemd for a server or an agent, as texts; `service.py` writes them (systemd.exec(5)).

A service of the system gets everything that systemd can take away from it and that it does not need. One of a user
gets what works without privileges.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tunnel.drive.address import Address

_EVERYWHERE: Final = (
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallErrorNumber=EPERM",
    "UMask=0077",
)
_OF_THE_SYSTEM: Final = (
    "CapabilityBoundingSet={capabilities}",
    "AmbientCapabilities={capabilities}",
    "PrivateDevices=yes",
    "PrivateTmp=yes",
    "ProcSubset=pid",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHome=read-only",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "ProtectSystem=strict",
    "RemoveIPC=yes",
    "RestrictNamespaces=yes",
)
_PRIVILEGED_PORTS: Final = 1024
_STATE_OF_THE_SYSTEM: Final = Path("/var/lib")


@final
@dataclass(frozen=True, slots=True)
class Service:
    """What is to run: `arguments` are those of `tunnel`, `state` is the directory it writes to, if any."""

    name: str
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    state: Path | None
    public: Address | None
    agents: Address | None
    is_reloadable: bool
    stop_seconds: float
    is_of_user: bool
    account: str
    """Whose service of the system it is; "" lets systemd make a user up."""


def service_unit(service: Service) -> str:
    """The unit file of the service itself."""
    kind = service.arguments[0]
    lines = [
        "[Unit]",
        f"Description=tunnel {kind} ({service.name})",
        *([] if service.is_of_user else ["After=network-online.target", "Wants=network-online.target"]),
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={_line(*service.command, *service.arguments)}",
    ]
    if service.is_reloadable and service.state is not None:
        lines.append(f"ExecReload={_line(*service.command, 'reload', '--state', str(service.state))}")
    lines += [
        "Restart=on-failure",
        "RestartSec=1",
        "RestartPreventExitStatus=2 3 4 7",
        "WatchdogSec=30",
        # The server ends its own workers and control process; ended by somebody else, they would be begun again.
        "KillMode=mixed",
        f"TimeoutStopSec={service.stop_seconds:g}",
        "LimitNOFILE=65536",
        "RuntimeDirectory=tunnel/%N",
        *_place_lines(service),
        *_EVERYWHERE,
    ]
    if not service.is_of_user:
        lines += [each.format(capabilities=_capabilities(service)) for each in _OF_THE_SYSTEM]
    wanted = "default.target" if service.is_of_user else "multi-user.target"
    return "\n".join([*lines, "", "[Install]", f"WantedBy={wanted}", ""])


def socket_units(service: Service) -> dict[str, str]:
    """A socket unit for each door of a server, by file name; each unit of systemd has one name for its sockets."""
    units: dict[str, str] = {}
    for door, address in (("public", service.public), ("agents", service.agents)):
        if address is not None:
            lines = [
                "[Unit]",
                f"Description=tunnel {service.name}: where {'visitors' if door == 'public' else 'agents'} come",
                "",
                "[Socket]",
                f"ListenStream={address}",
                f"FileDescriptorName={door}",
                f"Service={service.name}.service",
                "Backlog=1024",
                "",
                "[Install]",
                "WantedBy=sockets.target",
                "",
            ]
            units[f"{service.name}-{door}.socket"] = "\n".join(lines)
    return units


def _place_lines(service: Service) -> list[str]:
    """Who it runs as, and where it may write."""
    state = service.state
    if service.is_of_user:
        return []
    who = f"User={service.account}" if service.account else "DynamicUser=yes"
    if state is None:
        return [who]
    if state.parent == _STATE_OF_THE_SYSTEM:
        return [who, f"StateDirectory={state.name}", "StateDirectoryMode=0700"]
    return [who, f"ReadWritePaths={_word(str(state))}"]


def may_be_anybody(state: Path | None) -> bool:
    """Whether systemd can make up a user for it: it writes nowhere, or below /var/lib, where that is its own."""
    return state is None or state.parent == _STATE_OF_THE_SYSTEM


def _capabilities(service: Service) -> str:
    """What it takes to listen on low ports, where nobody opens them for it."""
    ports = [each.port for each in (service.public, service.agents) if each is not None]
    return "CAP_NET_BIND_SERVICE" if any(0 < port < _PRIVILEGED_PORTS for port in ports) else ""


def _line(*words: str) -> str:
    return " ".join(_word(each) for each in words)


def _word(text: str) -> str:
    """One word of a command line as systemd reads it: quoted where needed, nothing expanded (systemd.service(5))."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$").replace("\n", "\\n")
    return plain if plain and not any(each in plain for each in " \t;'\"\\") else f'"{plain}"'
