"""Names of fields that do not cross from one side to the other, in lower case and with their aliases.

An alias has `_` for `-`: servers behind CGI-like interfaces (WSGI, Rack, PHP) cannot tell them apart, so that
`X_Forwarded_For` would speak for us where we removed `X-Forwarded-For` (CVE-2025-64484).
"""

from typing import Final


def _with_aliases(names: tuple[bytes, ...]) -> frozenset[bytes]:
    """These names in every mix of hyphens and underscores."""
    every: set[bytes] = set()
    for name in names:
        spellings = [b""]
        for part in name.split(b"-"):
            spellings = [before + joint + part if before else part for before in spellings for joint in (b"-", b"_")]
        every.update(spellings)
    return frozenset(every)


def _spellings(names: bytes) -> frozenset[bytes]:
    """Each name in lower case, and with capitals as programs write it."""
    lower = names.split(b" ")
    return frozenset((*lower, *[b"-".join([part.capitalize() for part in name.split(b"-")]) for name in lower]))


# Written anew from what was parsed, or without a place to go.
_FRAMING: Final = (b"content-length", b"transfer-encoding", b"te", b"connection", b"upgrade", b"http2-settings")
_HOP_BY_HOP: Final = (
    *_FRAMING,
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"proxy-authentication-info",
)

# `Proxy` becomes HTTP_PROXY behind CGI, and then speaks for the environment (httpoxy, CVE-2016-5385).
_PROVENANCE: Final = (b"x-real-ip", b"forwarded", b"x-request-id", b"proxy")

FORGEABLE_PREFIXES: Final = (b"x-forwarded", b"x_forwarded", b"proxy-", b"proxy_")
"""Whole families: what a visitor says in `X-Forwarded-Anything` or to a proxy is not for the local service."""

REQUEST_DROPPED_CHUNKED: Final = _with_aliases((*_HOP_BY_HOP, *_PROVENANCE, b"host", b"expect"))
"""What a visitor's head leaves here, beside the families above and what its Connection field names."""

REQUEST_DROPPED: Final = REQUEST_DROPPED_CHUNKED.union((b"trailer",))
"""The same for a request without chunks: no trailers can follow that a Trailer field could announce."""

RESPONSE_DROPPED_CHUNKED: Final = _with_aliases((*_HOP_BY_HOP, b"x-request-id"))
"""What a local service's head leaves here, beside what its Connection field names."""

RESPONSE_DROPPED: Final = RESPONSE_DROPPED_CHUNKED.union((b"trailer",))
"""The same for a response that goes on without chunks."""

PLAIN_NAMES: Final = frozenset((b"DNT", b"ETag", b"WWW-Authenticate", b"X-XSS-Protection")) | _spellings(
    b"accept accept-encoding accept-language accept-ranges "
    b"access-control-allow-credentials access-control-allow-headers "
    b"access-control-allow-methods access-control-allow-origin access-control-expose-headers access-control-max-age "
    b"access-control-request-headers access-control-request-method age allow alt-svc authorization cache-control "
    b"content-disposition content-encoding content-language content-location content-range content-security-policy "
    b"content-type cookie date dnt etag expires if-match if-modified-since if-none-match if-range if-unmodified-since "
    b"last-modified link location origin permissions-policy pragma priority range referer referrer-policy retry-after "
    b"sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform "
    b"sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc "
    b"sec-websocket-accept sec-websocket-extensions sec-websocket-key sec-websocket-protocol "
    b"sec-websocket-version server "
    b"set-cookie strict-transport-security upgrade-insecure-requests user-agent vary via www-authenticate "
    b"x-content-type-options x-csrf-token x-frame-options x-powered-by x-requested-with x-xss-protection"
)
"""Names that mean nothing to us, as programs and browsers write them: no look at their lower case is needed."""

PLAIN_OPTIONS: Final[frozenset[tuple[bytes, ...]]] = frozenset(
    ((), (b"keep-alive",), (b"close",), (b"upgrade",), (b"keep-alive", b"upgrade"))
)
"""Connection options that name no field beyond those that end here anyway; nearly all there are."""

NEVER_TRAILERS: Final = _with_aliases(
    (
        *_HOP_BY_HOP,
        *_PROVENANCE,
        b"host",
        b"expect",
        b"trailer",
        b"max-forwards",
        b"cache-control",
        b"pragma",
        b"range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        b"if-range",
        b"authorization",
        b"cookie",
        b"set-cookie",
        b"www-authenticate",
        b"authentication-info",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"location",
        b"retry-after",
        b"vary",
        b"age",
        b"date",
        b"expires",
        b"via",
        b"origin",
    )
)
"""What a recipient must not take from a trailer section (RFC 9110 section 6.5.1), so that none is led to."""
