"""One worker process: what it was given when it was started, and its part of the server's limits."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, final

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.server.doors import Doors

MANDATE_VARIABLE: Final = "TUNNEL_WORKER"
"""Holds the mandate of a worker; its descriptors are inherited under the numbers that stand there."""


@final
@dataclass(frozen=True, slots=True)
class NoMandate:
    """This process was not started by a supervisor."""

    detail: str


@final
@dataclass(frozen=True, slots=True)
class WorkerMandate:
    """Which worker this is, of how many, and the sockets that it was given."""

    number: int
    of: int
    control: socket.socket
    crossing: socket.socket
    parcels: socket.socket
    doors: Doors


def mandate_text(
    number: int, of: int, control: socket.socket, crossing: socket.socket, parcels: socket.socket, doors: Doors
) -> str:
    """The mandate as a worker finds it in its environment."""
    return json.dumps(
        {
            "number": number,
            "of": of,
            "control": control.fileno(),
            "crossing": crossing.fileno(),
            "parcels": parcels.fileno(),
            "public": [each.fileno() for each in doors.public],
            "agents": [each.fileno() for each in doors.agents],
        }
    )


def mandate_of(environment: Mapping[str, str]) -> Outcome[WorkerMandate, NoMandate]:
    """What the supervisor gave us; the sockets are ours from here on, and no child inherits them."""
    text = environment.get(MANDATE_VARIABLE)
    if text is None:
        return Failure(NoMandate(f"{MANDATE_VARIABLE} is not set: only a supervisor starts workers"))
    try:
        given = json.loads(text)
        public = [_inherited(each) for each in given["public"]]
        agents = [_inherited(each) for each in given["agents"]]
        control, crossing, parcels = (_inherited(given[each]) for each in ("control", "crossing", "parcels"))
        numbers = int(given["number"]), int(given["of"])
    except (ValueError, TypeError, KeyError, OSError) as cause:
        return Failure(NoMandate(f"{MANDATE_VARIABLE} is not what a supervisor writes: {cause}"))
    return Success(WorkerMandate(*numbers, control, crossing, parcels, Doors(public, agents)))


def share_of(limits: Limits, workers: int) -> Limits:
    """The limits of one worker: what counts connections is divided, rounded up, as the system spreads them evenly."""
    return replace(
        limits,
        connections_max=-(-limits.connections_max // workers),
        connections_per_address_max=-(-limits.connections_per_address_max // workers),
        links_max=-(-limits.links_max // workers),
        handshakes_per_address_max=-(-limits.handshakes_per_address_max // workers),
    )


def _inherited(descriptor: int) -> socket.socket:
    found = socket.socket(fileno=descriptor)
    found.set_inheritable(False)
    found.settimeout(0)
    return found
