"""All that the control process knows, handed to each of its parts as one value."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from tunnel.api.board import Board
from tunnel.api.feeding import Feed
from tunnel.api.pages.traffic import Traffic
from tunnel.api.settings import ControlSettings
from tunnel.observe.events import EventSink
from tunnel.ports import Clock, Entropy
from tunnel.store.port import Store


@final
@dataclass(frozen=True, slots=True)
class Plane:
    """The database, the way to the data plane, clock and randomness; as long as the process has a database."""

    store: Store
    state: Path
    clock: Clock
    entropy: Entropy
    feed: Feed
    settings: ControlSettings
    board: Board
    events: EventSink
    traffic: Traffic = field(default_factory=Traffic)
