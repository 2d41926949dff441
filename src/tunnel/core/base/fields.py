"""A cursor over the fields of one message: they are taken in order, and the first bad one is remembered by name.

Our own messages and TLS's (RFC 8446 section 3) are made alike: numbers, and vectors led by their length.
"""

import re
from typing import Final, final

from tunnel.core.base.partial import ascii_text, printable_bytes, uint_at, uint_bytes, whole_match

_PRINTABLE: Final = re.compile(rb"[ -~]*")
_TEXT_LENGTH_BYTES: Final = 2


@final
class Fields:
    """Take each field once, then ask `fault`. After a fault everything taken is blank and means nothing."""

    def __init__(self, body: bytes) -> None:
        self._body: Final = body
        self._at = 0
        self._fault = ""

    def at_end(self) -> bool:
        """Whether nothing is left, which is so after a fault, too."""
        return self._at >= len(self._body)

    def take_uint(self, name: str, size: int) -> int:
        """A big-endian unsigned integer of `size` bytes."""
        number = uint_at(self._body, self._at, size)
        if number < 0:
            self.refuse(name)
            return 0
        self._at += size
        return number

    def take_bytes(self, name: str, size: int) -> bytes:
        """Exactly `size` bytes."""
        taken = self._body[self._at : self._at + size]
        if len(taken) != size:
            self.refuse(name)
            return b""
        self._at += size
        return taken

    def take_vector(self, name: str, length_bytes: int) -> bytes:
        """As many bytes as the `length_bytes` bytes before them say."""
        return self.take_bytes(name, self.take_uint(name, length_bytes))

    def take_text(self, name: str, chars_max: int) -> str:
        """Two bytes of length and as many printable ASCII characters, at most `chars_max`."""
        held = self.take_vector(name, _TEXT_LENGTH_BYTES)
        text = ascii_text(held)
        if len(held) > chars_max or text is None or whole_match(_PRINTABLE, held) is None:
            self.refuse(name)
            return ""
        return text

    def refuse(self, name: str) -> None:
        """Remember `name` as the bad field, unless one before it was bad already, and take nothing more."""
        if not self._fault:
            self._fault = name
        self._at = len(self._body)

    def fault(self) -> str:
        """The name of the first bad field, `end` when bytes are left that belong to none, or "" when all is well."""
        if not self._fault and self._at != len(self._body):
            return "end"
        return self._fault


def text_bytes(text: str, chars_max: int) -> bytes:
    """A text field: cut to `chars_max`, and `?` for what is not printable ASCII."""
    held = printable_bytes(text)[:chars_max]
    return uint_bytes(len(held), _TEXT_LENGTH_BYTES) + held
