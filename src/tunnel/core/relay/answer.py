"""The answers the edge gives in its own name: problem+json (RFC 9457) for programs, a plain page for browsers."""

from typing import Final

from tunnel.core.base.partial import decimal_text, html_text, json_string, utf8_bytes
from tunnel.core.base.problem import Problem

_REASONS: Final[dict[int, bytes]] = {
    400: b"Bad Request",
    401: b"Unauthorized",
    402: b"Payment Required",
    403: b"Forbidden",
    404: b"Not Found",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    417: b"Expectation Failed",
    421: b"Misdirected Request",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:12vh auto;padding:0 1rem;"
    "color-scheme:light dark}h1{font-size:1.4rem}dt{float:left;width:6rem;opacity:.7}"
    "dd{margin:0 0 .3rem 6rem;overflow-wrap:anywhere}"
)


def _html(problem: Problem, detail: str, request_id: str) -> str:
    title = html_text(problem.title)
    rows = f"<dt>Code</dt><dd><code>{problem.code}</code></dd><dt>Where</dt><dd>{problem.hop.value}</dd>"
    if detail:
        rows += f"<dt>Detail</dt><dd>{html_text(detail)}</dd>"
    if request_id:
        rows += f"<dt>Request</dt><dd><code>{html_text(request_id)}</code></dd>"
    head = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{problem.status} {title}</title><style>{_STYLE}</style>"
    )
    return f"{head}<h1>{problem.status}: {title}</h1><p>{html_text(problem.advice)}</p><dl>{rows}</dl></html>\n"


def _json(problem: Problem, detail: str, request_id: str) -> str:
    members = [
        f'"type":{json_string("urn:tunnel:problem:" + problem.code)}',
        f'"title":{json_string(problem.title)}',
        f'"status":{problem.status}',
        f'"code":{json_string(problem.code)}',
        f'"hop":{json_string(problem.hop.value)}',
        f'"detail":{json_string(detail or problem.advice)}',
    ]
    if request_id:
        members.append(f'"request_id":{json_string(request_id)}')
    return "{" + ",".join(members) + "}\n"


def wants_page(accept: bytes) -> bool:
    """Whether an Accept value names HTML, as every browser's navigation does and no program's default does."""
    return b"text/html" in accept.lower()


def redirect_response(location: bytes, request_id: str, *, close: bool) -> bytes:
    """A complete HTTP/1.1 response that sends a visitor elsewhere for good, with the method it used (308)."""
    lines = [
        b"HTTP/1.1 308 Permanent Redirect",
        b"Location: " + location,
        b"Content-Length: 0",
        b"X-Request-Id: " + utf8_bytes(request_id),
    ]
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def problem_response(
    problem: Problem, detail: str, request_id: str, *, page: bool, close: bool, without_body: bool
) -> bytes:
    """A complete HTTP/1.1 response for `problem`; `without_body` (HEAD) keeps the head as it would be with one."""
    body = utf8_bytes(_html(problem, detail, request_id) if page else _json(problem, detail, request_id))
    kind = b"text/html; charset=utf-8" if page else b"application/problem+json"
    reason = _REASONS.get(problem.status, b"Error")
    lines = [
        b"HTTP/1.1 " + decimal_text(problem.status) + b" " + reason,
        b"Content-Type: " + kind,
        b"Content-Length: " + decimal_text(len(body)),
        b"Cache-Control: no-store",
    ]
    if request_id:
        lines.append(b"X-Request-Id: " + utf8_bytes(request_id))
    if problem.retry_seconds:
        lines.append(b"Retry-After: " + decimal_text(problem.retry_seconds))
    if problem.realm:
        lines.append(b'WWW-Authenticate: Basic realm="' + utf8_bytes(problem.realm) + b'", charset="UTF-8"')
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if without_body else body)
