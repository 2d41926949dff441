"""Cookies and where a form came from: spelled and judged here, stored elsewhere (DASH-COOKIE, DASH-FORM).

A browser that speaks https to us gets `__Host-` names, which no other host and no path of this one can set or shadow
(RFC 6265bis section 4.1.3.2). Over plain http, which is for loopback, browsers refuse that prefix.
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, final
from urllib.parse import urlsplit

SESSION: Final = "tunnel_session"
FORM: Final = "tunnel_form"
FLOW: Final = "tunnel_flow"
ID_BYTES: Final = 32
_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SECURE_PREFIX: Final = "__Host-"
_CSRF_CONTEXT: Final = b"tunnel dashboard form 1\0"


@final
@dataclass(frozen=True, slots=True)
class Origin:
    """Where this dashboard is, as the browser sees it: `https` and what stands in its address bar."""

    scheme: str
    authority: str

    @property
    def is_secure(self) -> bool:
        """Whether cookies can and therefore must be `Secure`."""
        return self.scheme == "https"

    def text(self) -> str:
        """As a browser writes it into `Origin`."""
        return f"{self.scheme}://{self.authority}"


def origin_of(url: str, host: str, scheme: str = "http") -> Origin:
    """The configured URL's origin; without one, the host that was asked for, by `scheme`."""
    parts = urlsplit(url)
    if parts.scheme in {"http", "https"} and parts.netloc:
        return Origin(parts.scheme, parts.netloc.lower())
    return Origin(scheme, host.lower())


def cookie_name(name: str, origin: Origin) -> str:
    """The name under which the browser holds it."""
    return _SECURE_PREFIX + name if origin.is_secure else name


def set_cookie(name: str, value: str, origin: Origin, seconds: int) -> str:
    """The whole `Set-Cookie` value; `seconds` 0 takes the cookie away."""
    secure = "; Secure" if origin.is_secure else ""
    return f"{cookie_name(name, origin)}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"


def new_id() -> str:
    """A fresh identifier that nobody can guess."""
    return secrets.token_urlsafe(ID_BYTES)


def is_id(text: str) -> bool:
    """Whether it has the form of what `new_id` makes; a browser may send anything, also what no header may hold."""
    return _ID.fullmatch(text) is not None


def digest_of(identifier: str) -> bytes:
    """What the store knows a cookie by: whoever reads the store cannot sign in with it."""
    return sha256(identifier.encode()).digest()


def form_token(identifier: str) -> str:
    """The token that stands in every form of the holder of this cookie; the cookie cannot be computed from it."""
    return hmac.new(identifier.encode(), _CSRF_CONTEXT, sha256).hexdigest()


def is_own_form(origin: Origin, seen_origin: str, token: str, seen_token: str) -> bool:
    """Whether a form was sent by a page of ours: from our origin, with the token that its reader was given.

    A browser names the origin with every POST; one that does not, or says `null`, is refused. That is why our
    pages say `Referrer-Policy: same-origin`: under `no-referrer` a browser would send `null` from our own forms.
    """
    is_here = seen_origin.lower() == origin.text()
    token_fits = hmac.compare_digest(token.encode(), seen_token.encode("utf-8", "replace"))
    return is_here and bool(token) and token_fits
