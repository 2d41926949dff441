"""Which end of the link a session is; it decides whose stream ids are odd."""

from enum import Enum
from typing import final

__all__ = ["Role"]


@final
class Role(Enum):
    """The yamux client dialled and opens odd streams, the server accepted and opens even ones (yamux spec)."""

    CLIENT = 1
    SERVER = 2
