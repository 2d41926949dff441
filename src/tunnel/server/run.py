"""The running server: two listeners, the registry between them, and an orderly end."""

import asyncio

from tunnel.core.base.outcome import Outcome
from tunnel.observe.events import EventSink
from tunnel.server.end import ServerEnd
from tunnel.server.settings import ServerSettings


async def serve(settings: ServerSettings, events: EventSink, stop: asyncio.Event) -> Outcome[None, ServerEnd]:
    """Serve until `stop` is set, then drain and return; `ServerReady` (with the real ports) tells when it accepts."""
    raise NotImplementedError
