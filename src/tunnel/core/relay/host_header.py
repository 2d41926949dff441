"""Which Host the local service sees: the visitor's, that of the local address, or a fixed one."""

from tunnel.core.base.partial import utf8_bytes
from tunnel.core.link.messages import HostHeader, Keep, Rewrite


def host_value_for(choice: HostHeader, received: bytes) -> bytes:
    """The one Host field value to forward; `received` is what the visitor sent."""
    if isinstance(choice, Keep):
        return received
    return utf8_bytes(choice.authority if isinstance(choice, Rewrite) else choice.text)
