"""Stands in front of a sink of events and counts what the events say: sessions and refusals."""

from typing import Final, final

from tunnel.observe.events import Event, EventSink, LinkRefused, SessionEnded, SessionOpened
from tunnel.observe.metrics import Metrics


@final
class MeteredEvents:
    """Passes every event on; lives as long as the sink behind it."""

    def __init__(self, metrics: Metrics, behind: EventSink) -> None:
        self._metrics: Final = metrics
        self._behind: Final = behind

    def emit(self, event: Event) -> None:
        """Count it if it is one to be counted, and pass it on."""
        if isinstance(event, SessionOpened):
            self._metrics.sessions_opened += 1
        elif isinstance(event, SessionEnded):
            self._metrics.sessions_ended += 1
        elif isinstance(event, LinkRefused):
            self._metrics.note_agent_refused(event.code)
        self._behind.emit(event)
