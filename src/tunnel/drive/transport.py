"""The transport that the event loop hands to a stream protocol, with the type it really has."""

import asyncio
from typing import cast


def stream_transport(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """The same object. A stream protocol gets a stream transport (documented); uvloop's is no subclass to test for."""
    return cast("asyncio.Transport", transport)
