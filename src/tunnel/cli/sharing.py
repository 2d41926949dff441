"""Words of the command line about links, sharing and checks, each judged by itself."""

import re
from typing import Final

from tunnel.cli.places import BadText
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.control.ttl import TTL_FORMS, ttl_of

CHECK_SECONDS: Final = 5.0
"""Between two checks, if not said: a service that fails is out of the way within ten seconds."""
_LINKS_WANTED: Final = "a whole number of links, 1 or more"
_PATH_WANTED: Final = "a path: /healthz, with / first and without spaces"
_INTERVAL_WANTED: Final = "a time from 1s to 1h: 5s, 30s, 2m"
_INTERVAL: Final = re.compile(r"([1-9][0-9]{0,4})([smh])", re.ASCII)
_PATH: Final = re.compile(r"/[!-~]{0,1023}", re.ASCII)
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_INTERVAL_SECONDS_MAX: Final = 3600


def links_of(text: str) -> Outcome[int, BadText]:
    """How many links; whether that are too many is a limit's to say."""
    return (
        Success(int(text))
        if re.fullmatch(r"[1-9][0-9]{0,4}", text, re.ASCII)
        else Failure(BadText(text, _LINKS_WANTED))
    )


def check_path_of(text: str) -> Outcome[str, BadText]:
    """The path of a check, as it stands in a request line: nothing can be injected through it."""
    return Success(text) if _PATH.fullmatch(text) else Failure(BadText(text, _PATH_WANTED))


def exposure_of(text: str) -> Outcome[int, BadText]:
    """Seconds that an endpoint is exposed."""
    seconds = ttl_of(text)
    return Failure(BadText(text, TTL_FORMS)) if seconds is None else Success(seconds)


def interval_of(text: str) -> Outcome[float, BadText]:
    """Seconds between two checks."""
    found = _INTERVAL.fullmatch(text)
    seconds = 0 if found is None else int(found[1]) * _UNIT_SECONDS[found[2]]
    return Success(float(seconds)) if 0 < seconds <= _INTERVAL_SECONDS_MAX else Failure(BadText(text, _INTERVAL_WANTED))
