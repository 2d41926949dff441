"""The machines of the per-byte path under one row of operations, and all they say, as text: for two builds to compare.

Run as a program it is the other build: the compiled modules are passed over and the same sources interpreted. It then
answers one JSON line a case with one JSON line.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import sha256
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from tunnel.core.mux.session import Session
    from tunnel.core.relay.edge import Edge

Operation: TypeAlias = tuple[str, str, int]
"""A name, bytes in hexadecimal, and a number."""

_DEPTH: Final = 6
_BYTES_SHOWN: Final = 1000


class SourcesOnly:
    """Finds the `.py` of every module of `tunnel`, also where an extension lies beside it."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of the source file, for what an extension would be taken."""
        if not name.startswith("tunnel."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin is None or spec.origin.endswith(".py"):
            return None
        source = Path(spec.origin).with_name(name.rpartition(".")[2] + ".py")
        return spec_from_file_location(name, source, loader=SourceFileLoader(name, str(source)))


def shown(value: object, depth: int = _DEPTH) -> str:
    """Everything that a value holds; the same text for the same value in both builds."""
    if isinstance(value, bytes) and len(value) > _BYTES_SHOWN:
        return f"{len(value)} bytes {sha256(value).hexdigest()}"
    if value is None or isinstance(value, (bytes, int, str, float, Enum, memoryview, bytearray)) or depth == 0:
        return repr(value) if depth else "..."
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(shown(one, depth - 1) for one in value) + "]"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(shown(one, depth - 1) for one in value)) + "}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{shown(key, 1)}: {shown(one, depth - 1)}" for key, one in value.items()) + "}"
    kind = type(value)
    return (
        kind.__name__
        + "("
        + ", ".join(f"{name}={shown(getattr(value, name), depth - 1)}" for name in _names(value))
        + ")"
    )


def _names(value: object) -> list[str]:
    """The attributes of a record, whatever made its class."""
    kind = type(value)
    if is_dataclass(value):
        return sorted(field.name for field in fields(value))
    compiled: object = getattr(kind, "__mypyc_attrs__", ())
    slots: object = [slot for one in kind.__mro__ for slot in getattr(one, "__slots__", ())]
    found = {*_texts(compiled), *_texts(slots), *getattr(value, "__dict__", {})} - {"__dict__", "__weakref__"}
    return sorted(name for name in found if hasattr(value, name))


def _texts(names: object) -> list[str]:
    return [str(name) for name in names] if isinstance(names, (list, tuple)) else []


def run_http(operations: Sequence[Operation]) -> list[str]:
    """Heads cut into pieces, parsed and forwarded; then a body."""
    # Imported when it is called, as the other build first has to say where its modules come from.
    from tunnel.core.base.limits import DEFAULT_LIMITS as limits  # noqa: PLC0415, N811
    from tunnel.core.base.outcome import Success, value_of  # noqa: PLC0415
    from tunnel.core.http.body import BodyReader  # noqa: PLC0415
    from tunnel.core.http.forward import Visitor, provenance_of, request_bytes, response_bytes  # noqa: PLC0415
    from tunnel.core.http.reader import HeadReader  # noqa: PLC0415
    from tunnel.core.http.request import parse_request_head  # noqa: PLC0415
    from tunnel.core.http.response import parse_response_head  # noqa: PLC0415

    said: list[str] = []
    reader, body = HeadReader(limits.head_bytes_max), BodyReader(-1, limits, 1000)
    for name, data, number in operations:
        piece = bytes.fromhex(data)
        if name == "length":
            body = BodyReader(number, limits, 1000)
            continue
        if name == "body":
            said.append(shown((body.receive(piece), body.is_done, body.received, body.trailers, body.take_rest())))
            continue
        whole = reader.receive(piece)
        said.append(shown((whole, reader.held)))
        raw = value_of(whole) if isinstance(whole, Success) else None
        if raw is None:
            continue
        said.append(shown(reader.take_rest()))
        asked = parse_request_head(raw, limits)
        answered = parse_response_head(raw, b"HEAD" if number & 1 else b"GET", limits)
        said.append(shown((asked, answered)))
        if isinstance(asked, Success):
            head = value_of(asked)
            trail = provenance_of(head.host_value, Visitor("192.0.2.1", number & 0xFFFF, "http"))
            said.append(shown(request_bytes(head, trail, "id", head.host_value)))
        if isinstance(answered, Success):
            said.append(
                shown(response_bytes(value_of(answered), "id", number & 1, framing=(number & 3) - 2, close=False))
            )
    return said


def run_mux(operations: Sequence[Operation]) -> list[str]:
    """A session of either role."""
    from tunnel.core.base.ids import Instant  # noqa: PLC0415
    from tunnel.core.base.limits import Limits  # noqa: PLC0415
    from tunnel.core.mux.session import Role, Session  # noqa: PLC0415

    role = Role.CLIENT if operations and operations[0][2] & 1 else Role.SERVER
    session, now, said = Session(role, Limits(streams_per_session_max=4), Instant(0.0)), 0.0, list[str]()
    for name, data, number in operations:
        now += (number & 7) / 2
        said.append(shown((_mux_step(session, name, bytes.fromhex(data), number, Instant(now)), session.live_streams)))
        said.append(shown((session.has_output, session.unread, session.violations, session.next_deadline())))
    return said


def _mux_step(session: "Session", name: str, data: bytes, number: int, now: float) -> object:
    from tunnel.core.base.ids import Instant, StreamId  # noqa: PLC0415

    stream = StreamId(number & 15)
    steps: dict[str, Callable[[], object]] = {
        "receive": lambda: (session.receive(data, Instant(now)), session.take_events()),
        "open": session.open_stream,
        "send": lambda: session.send(stream, data),
        "send-much": lambda: session.send(stream, bytes(number << 2)),
        "poll-all": lambda: session.poll_output(1 << 20),
        "end": lambda: session.end(stream),
        "reset": lambda: session.reset(stream),
        "credit": lambda: session.return_credit(stream, number, Instant(now)),
        "poll": lambda: session.poll_output(number & 0xFFFF),
        "time": lambda: session.on_time(Instant(now)),
        "leave": lambda: session.go_away(0),
    }
    return steps[name]()


def run_edge(operations: Sequence[Operation]) -> list[str]:
    """One public connection."""
    from tests.support.relay_harness import table_of  # noqa: PLC0415

    from tunnel.core.base.ids import Instant  # noqa: PLC0415
    from tunnel.core.base.limits import DEFAULT_LIMITS  # noqa: PLC0415
    from tunnel.core.http.forward import Visitor  # noqa: PLC0415
    from tunnel.core.policy.door import Door  # noqa: PLC0415
    from tunnel.core.policy.rules import OPEN_TO_ALL  # noqa: PLC0415
    from tunnel.core.relay.edge import Edge  # noqa: PLC0415

    visitor = Visitor("192.0.2.1", 40000, "http")
    edge = Edge(visitor, table_of("app"), "tunnel.test", DEFAULT_LIMITS, "p" * 16, Instant(0.0), Door(OPEN_TO_ALL, 16))
    now, said = 0.0, list[str]()
    for name, data, number in operations:
        now += (number & 7) / 4
        _edge_step(edge, name, bytes.fromhex(data), now)
        while actions := edge.poll_actions(Instant(now)):
            said.append(shown(actions))
        said.append(shown((edge.phase, edge.waits_for, edge.held_bytes, edge.is_full, edge.next_deadline())))
    return said


def _edge_step(edge: "Edge", name: str, data: bytes, now: float) -> None:
    from tunnel.core.base.ids import Instant  # noqa: PLC0415
    from tunnel.core.base.problem import LINK_BUSY  # noqa: PLC0415

    at = Instant(now)
    steps: dict[str, Callable[[], None]] = {
        "visitor": lambda: edge.receive_visitor(data, at),
        "origin": lambda: edge.receive_origin(data, at),
        "visitor-end": lambda: edge.on_visitor_end(at),
        "visitor-lost": lambda: edge.on_visitor_lost(at),
        "visitor-stuck": lambda: edge.on_visitor_stuck(at),
        "visitor-flowing": lambda: edge.on_visitor_flowing(at),
        "visitor-took": lambda: edge.on_visitor_took(at),
        "origin-end": lambda: edge.on_origin_end(at),
        "origin-reset": lambda: edge.on_origin_reset(at),
        "origin-refused": lambda: edge.on_origin_refused(LINK_BUSY, "full", at),
        "origin-stuck": lambda: edge.on_origin_stuck(at),
        "origin-flowing": lambda: edge.on_origin_flowing(at),
        "drain": lambda: edge.on_drain(at),
        "time": lambda: edge.on_time(Instant(now + 1000.0)),
    }
    steps[name]()


MACHINES: Final[Mapping[str, Callable[[Sequence[Operation]], list[str]]]] = {
    "http": run_http,
    "mux": run_mux,
    "edge": run_edge,
}


def main() -> None:
    """Answer cases until there are no more."""
    sys.meta_path.insert(0, SourcesOnly())
    for line in sys.stdin:
        machine, operations = json.loads(line)
        said = MACHINES[machine]([(str(name), str(data), int(number)) for name, data, number in operations])
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
