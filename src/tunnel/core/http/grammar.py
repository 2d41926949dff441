r"""The grammar of HTTP/1.1 as byte regular expressions, each under the rule of RFC 9110 or RFC 9112 it implements.

We are stricter than the ABNF where it lets two readers differ, never more lenient; each departure names its reason.
Every pattern is linear: repeated groups begin with a byte that cannot end the one before, and the runs inside them
are possessive (`++`, `*+`), so that nothing is tried twice. Only SP and HTAB count as whitespace: Python's `strip()`
and `\s` would take VT, FF, NEL and NBSP, too, and hide them from us but not from the local service.
"""

import re
from typing import Final

from tunnel.core.base.partial import whole_match

OWS: Final = b" \t"
"""What may surround a field value (RFC 9110 section 5.6.3)."""

HEAD_END: Final = b"\r\n\r\n"
CRLF: Final = b"\r\n"

# tchar: visible ASCII but the delimiters DQUOTE and (),/:;<=>?@[\]{} (RFC 9110 section 5.6.2).
_TCHAR: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
# field-vchar = VCHAR / obs-text, with the SP and HTAB that may stand between them; no other control byte.
_VALUE_BYTE: Final = rb"[\t\x20-\x7e\x80-\xff]"
# method = token; registered ones have no lower-case letter, and `get` is a different method that looks like GET.
_METHOD: Final = rb"[A-Z][A-Z0-9!#$%&'*+\-.^_`|~]*+"
# request-target: visible ASCII without "#", which no target has and which some readers cut at.
_TARGET: Final = rb"[\x21\x22\x24-\x7e]++"
# field-line = field-name ":" OWS field-value OWS; no obs-fold, no space before the colon (RFC 9112 section 5).
_FIELD_LINE: Final = _TCHAR + rb"++:" + _VALUE_BYTE + rb"*+\r\n"
_FIELD_LINES: Final = rb"((?:" + _FIELD_LINE + rb")*)"

# request-line = method SP request-target SP HTTP-version CRLF, then *field-line CRLF. One empty line before it is
# ignored (RFC 9112 section 2.2). Groups: method, target, minor version, field lines.
REQUEST_HEAD: Final = re.compile(
    rb"(?:\r\n)?(" + _METHOD + rb") (" + _TARGET + rb") HTTP/1\.([01])\r\n" + _FIELD_LINES + rb"\r\n"
)

# status-line = HTTP-version SP status-code SP [ reason-phrase ]. The second SP may miss with the reason: some servers
# leave it out, and nothing else can be read into its place. Groups: minor version, status, reason, field lines.
RESPONSE_HEAD: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: |(?=\r))(" + _VALUE_BYTE + rb"*+)\r\n" + _FIELD_LINES + rb"\r\n"
)

METHOD: Final = re.compile(_METHOD)
TARGET: Final = re.compile(_TARGET)
VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]")
STATUS_AND_REASON: Final = re.compile(rb"[1-5][0-9][0-9](?: " + _VALUE_BYTE + rb"*+)?")
TOKEN: Final = re.compile(_TCHAR + rb"++")
FIELD_LINE: Final = re.compile(_FIELD_LINE)

# Name and value of each line of a validated block; OWS before the value is left out, OWS after it is not.
FIELD: Final = re.compile(rb"([^:\r]++):[ \t]*+([^\r]*+)\r\n")

# protocol = protocol-name [ "/" protocol-version ] (RFC 9110 section 7.8).
PROTOCOL: Final = re.compile(_TCHAR + rb"++(?:/" + _TCHAR + rb"++)?")

# chunk-size [ chunk-ext ] CRLF (RFC 9112 section 7.1). No BWS: we could skip it, but a space after the size splits
# readers. A quoted string holds no obs-text and no control byte but HTAB. Groups: size, extensions.
_QUOTED: Final = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*"'
_EXTENSION: Final = rb";" + _TCHAR + rb"++(?:=(?:" + _TCHAR + rb"++|" + _QUOTED + rb"))?"
CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:" + _EXTENSION + rb")*\r\n")

# A byte that shows a line end other than CR LF, decided by the byte before it alone; and NUL, for which no part of
# HTTP/1.1 has a use: a TLS hello or another protocol is told apart from it at once.
LINE_FAULT: Final = re.compile(rb"(?<!\r)\n|(?<=\r)[^\n]|\x00")

_UTF8_WITHOUT_C1: Final = re.compile(
    rb"(?:[\x00-\x7f]|\xc2[\xa0-\xbf]|[\xc3-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]"
    rb"|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})*"
)
_LATIN1_WITHOUT_C1: Final = re.compile(rb"[\x00-\x7f\xa0-\xff]*+")


def has_c1(value: bytes) -> bool:
    """Whether a value holds a C1 control (U+0080 to U+009F) however it is read, as UTF-8 or as ISO 8859-1.

    obs-text would allow every byte above 127. NEL and its like are white space or line ends to some readers; honest
    UTF-8 has these bytes only inside longer characters, where they are let through.
    """
    return whole_match(_UTF8_WITHOUT_C1, value) is None and whole_match(_LATIN1_WITHOUT_C1, value) is None
