"""A cursor over TLS's presentation language (RFC 8446 section 3): numbers, and vectors led by their length."""

from typing import Final, final

from tunnel.core.base.partial import uint_at


@final
class Cursor:
    """Take each field once, then ask `fault`. After a fault everything taken is empty and means nothing."""

    def __init__(self, data: bytes) -> None:
        self._data: Final = data
        self._at = 0
        self._fault = ""

    def at_end(self) -> bool:
        """Whether nothing is left, which is so after a fault, too."""
        return self._at >= len(self._data)

    def take_uint(self, name: str, size: int) -> int:
        """A big-endian unsigned integer of `size` bytes."""
        number = uint_at(self._data, self._at, size)
        if number < 0:
            self.refuse(name)
            return 0
        self._at += size
        return number

    def take_bytes(self, name: str, size: int) -> bytes:
        """Exactly `size` bytes."""
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            self.refuse(name)
            return b""
        self._at += size
        return taken

    def take_vector(self, name: str, length_bytes: int) -> bytes:
        """The bytes of a vector whose length is said in `length_bytes` bytes before it."""
        return self.take_bytes(name, self.take_uint(name, length_bytes))

    def refuse(self, name: str) -> None:
        """Remember `name` as the bad field, unless one before it was bad already, and take nothing more."""
        if not self._fault:
            self._fault = name
        self._at = len(self._data)

    def fault(self) -> str:
        """The name of the first bad field, or ""."""
        return self._fault
