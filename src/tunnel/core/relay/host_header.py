"""Which Host the local service sees: the visitor's, that of the local address, or a fixed one."""

from tunnel.core.base.partial import utf8_bytes
from tunnel.core.link.messages import HostHeader, Keep, Rewrite, Value


def host_value_for(choice: HostHeader, received: bytes) -> bytes:
    """The one Host field value to forward; `received` is what the visitor sent."""
    match choice:
        case Keep():
            return received
        case Rewrite(authority=authority):
            return utf8_bytes(authority)
        case Value(text=text):
            return utf8_bytes(text)
