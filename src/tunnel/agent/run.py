"""The running agent: one uplink that is always being restored, and local connections behind it."""

import asyncio

from tunnel.agent.end import AgentEnd
from tunnel.agent.settings import AgentSettings
from tunnel.core.base.outcome import Outcome
from tunnel.observe.events import EventSink


async def run_agent(settings: AgentSettings, events: EventSink, stop: asyncio.Event) -> Outcome[None, AgentEnd]:
    """Expose the local service until `stop` is set (success) or going on makes no sense (failure)."""
    raise NotImplementedError
