"""`STATE/dashboard.toml`: where browsers find the dashboard, and the provider that people sign in with.

A file of the state directory like the keys: a client secret has no place among arguments or in a server's config file
that more people read.

    url = "https://dash.example.com"

    [oidc]
    issuer = "https://id.example.com"
    client_id = "tunnel"
    client_secret = "..."
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final
from urllib.parse import urlsplit

from typing_extensions import override

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of

FILE: Final = "dashboard.toml"
_KEYS: Final = frozenset({"url", "oidc"})
_OIDC_KEYS: Final = frozenset({"issuer", "client_id", "client_secret"})


@final
@dataclass(frozen=True, slots=True)
class OidcSettings:
    """One provider, and who we are to it; without a secret we are a public client, which PKCE is for."""

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)


@final
@dataclass(frozen=True, slots=True)
class DashboardSettings:
    """What the file says; without a URL the dashboard is wherever a browser asks for it, by plain http."""

    url: str = ""
    oidc: OidcSettings | None = None

    @property
    def host(self) -> str:
        """The host of the URL, "" without one."""
        return urlsplit(self.url).hostname or ""


@final
@dataclass(frozen=True, slots=True)
class BadSettings:
    """The file cannot be used; `why` says what was seen and what was expected, and repeats no value of it."""

    why: str

    @override
    def __str__(self) -> str:
        return f"{FILE} is not used: {self.why}"


def dashboard_settings(state: Path) -> Outcome[DashboardSettings, BadSettings]:
    """What the state directory says of the dashboard; no file is no settings."""
    try:
        raw = (state / FILE).read_bytes()
    except FileNotFoundError:
        return Success(DashboardSettings())
    except OSError as cause:
        return Failure(BadSettings(f"it cannot be read ({cause.strerror})"))
    try:
        told = tomllib.loads(raw.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        return Failure(BadSettings("it is not TOML in UTF-8"))
    return settings_of(told)


def settings_of(told: Mapping[str, object]) -> Outcome[DashboardSettings, BadSettings]:
    """The settings that this table says; a closed schema, so that a mistyped key is found."""
    strange = sorted(set(told) - _KEYS)
    if strange:
        return Failure(BadSettings(f"`{strange[0]}` is no key of it; it has url and [oidc]"))
    url = told.get("url", "")
    if not isinstance(url, str) or (url and not is_origin(url)):
        return Failure(BadSettings("url has to be https://host or http://host, with a port if need be and no path"))
    if "oidc" not in told:
        return Success(DashboardSettings(url.rstrip("/")))
    oidc = _oidc_of(told["oidc"])
    if not isinstance(oidc, Success):
        return Failure(error_of(oidc))
    return Success(DashboardSettings(url.rstrip("/"), value_of(oidc)))


def is_origin(url: str) -> bool:
    """Whether this is a scheme, a host and perhaps a port, and nothing else."""
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    is_bare = parts.path in {"", "/"} and not parts.query and not parts.fragment and "@" not in parts.netloc
    return parts.scheme in {"http", "https"} and has_host and is_bare


def _oidc_of(told: object) -> Outcome[OidcSettings, BadSettings]:
    if not isinstance(told, dict) or set(told) - _OIDC_KEYS:
        return Failure(BadSettings("[oidc] has issuer, client_id and client_secret, and nothing else"))
    texts = {name: value for name, value in told.items() if isinstance(value, str) and value}
    if len(texts) != len(told) or not {"issuer", "client_id"} <= set(texts):
        return Failure(BadSettings("[oidc] needs issuer and client_id, and every value of it is a text"))
    return Success(OidcSettings(texts["issuer"], texts["client_id"], texts.get("client_secret", "")))
