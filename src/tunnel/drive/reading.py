"""The one read buffer of a process: a read fills it and is taken out before the next one begins."""

from tunnel.core.base.limits import READ_BYTES


def read_buffer() -> memoryview:
    """A buffer to share between all `BufferedProtocol`s of one event loop.

    The loop asks for a buffer, fills it and reports the bytes within one step, so connections cannot meet in it;
    ten thousand idle connections then cost no buffer of their own.
    """
    return memoryview(bytearray(READ_BYTES))
