"""Identifiers and quantities that must not be mixed up; each is built at one checked door and passed on."""

from typing import NewType

StreamId = NewType("StreamId", int)
"""A yamux stream, 1 to 2^32-1: odd when the agent opened it, even when the server did."""

SessionId = NewType("SessionId", int)
"""One link of one agent, numbered by the server that holds it; never reused in a process."""

Epoch = NewType("Epoch", int)
"""The generation of a lease: whoever holds a name under an older epoch is fenced."""

EndpointId = NewType("EndpointId", int)
"""One exposed endpoint within a session, 1 to 2^32-1."""

Instant = NewType("Instant", float)
"""Seconds of a monotonic clock; only differences mean anything."""

UnixSeconds = NewType("UnixSeconds", int)
"""Whole seconds since 1970-01-01T00:00:00Z, for what is written into tokens."""

Label = NewType("Label", str)
"""One lower-case DNS label (RFC 1035 section 2.3.1, RFC 1123 section 2.1): 1 to 63 of a-z, 0-9 and inner hyphens."""

RequestId = NewType("RequestId", str)
"""The name of one exchange in headers, logs and failure answers: 16 random characters of a-z and 2-7 for the
connection, then 8 hexadecimal digits that count its exchanges."""
