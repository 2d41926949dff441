"""Which build of the core runs: the sources interpreted, or the same sources compiled (ADR 0032)."""

from importlib.machinery import EXTENSION_SUFFIXES

from tunnel.core.mux import session


def core_mode() -> str:
    """`compiled` or `interpreted`, as `tunnel version` says it."""
    file = session.__file__ or ""
    return "compiled" if file.endswith(tuple(EXTENSION_SUFFIXES)) else "interpreted"
