"""Fuzz targets of the configuration: any bytes as a config file, any text as an address, target or zone."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tunnel.cli.config import read_config
from tunnel.cli.places import domain_of, listener_of, target_of
from tunnel.cli.problems import describe_config
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.route.name import name_in_zone

_HERE: Final = Path("/etc/tunnel")


def fuzz_config(data: bytes) -> None:
    """A config or a list of printable problems, and the same one again."""
    read = read_config(data, _HERE)
    assert read_config(data, _HERE) == read
    if not isinstance(read, Success):
        assert error_of(read)
        assert all(describe_config(problem).isprintable() for problem in error_of(read))


def fuzz_place(data: bytes) -> None:
    """What is accepted can be written and is read back as the same."""
    text = data.decode("latin-1")
    address = listener_of(text)
    if isinstance(address, Success):
        assert listener_of(str(value_of(address))) == address
    target = target_of(text)
    if isinstance(target, Success):
        scheme = "https" if value_of(target).tls else "http"
        assert target_of(f"{scheme}://{value_of(target).address}") == target
    zone = domain_of(text)
    if isinstance(zone, Success):
        assert isinstance(name_in_zone(f"demo.{value_of(zone)}", value_of(zone)), Success)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"config": fuzz_config, "place": fuzz_place}
