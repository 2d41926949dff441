"""The closed unions of what is refused, and what to say about each member: a sentence, a code, a status.

The members are in `faults.py`; whoever uses this folder imports everything from here.
"""

from typing import Final, TypeAlias

from tunnel.core.http.faults import (
    BadChunkLine,
    BadContentLength,
    BadFieldLine,
    BadFieldValue,
    BadHost,
    BadRequestLine,
    BadStatusLine,
    BadTarget,
    BareLineEnd,
    BodyNotAllowed,
    BodyTooLong,
    ChunkLineTooLong,
    ChunkNotEnded,
    ConnectAsked,
    EndedEarly,
    FirstLineTooLong,
    HeadTooLong,
    HostDisagrees,
    HostMissing,
    LengthWithTransferCoding,
    NulByte,
    RepeatedField,
    SwitchUnnamed,
    TargetTooLong,
    TooManyFields,
    TraceWithBody,
    TrailersTooLong,
    TransferCodingOnHttp10,
    UnknownExpectation,
    UnknownTransferCoding,
    UnsupportedVersion,
    UpgradeWithBody,
    clipped,
)

__all__ = [
    "AnswerError",
    "BadChunkLine",
    "BadContentLength",
    "BadFieldLine",
    "BadFieldValue",
    "BadHost",
    "BadRequestLine",
    "BadStatusLine",
    "BadTarget",
    "BareLineEnd",
    "BodyError",
    "BodyNotAllowed",
    "BodyTooLong",
    "ChunkError",
    "ChunkLineTooLong",
    "ChunkNotEnded",
    "ConnectAsked",
    "EndedEarly",
    "FieldsError",
    "FirstLineTooLong",
    "FramingError",
    "HeadError",
    "HeadTooLong",
    "HostDisagrees",
    "HostMissing",
    "HttpError",
    "IntentError",
    "LengthWithTransferCoding",
    "NulByte",
    "RepeatedField",
    "RequestError",
    "ResponseError",
    "SwitchUnnamed",
    "TargetError",
    "TargetTooLong",
    "TooManyFields",
    "TraceWithBody",
    "TrailersTooLong",
    "TransferCodingOnHttp10",
    "UnknownExpectation",
    "UnknownTransferCoding",
    "UnsupportedVersion",
    "UpgradeWithBody",
    "clipped",
    "code_of",
    "describe",
    "status_of",
]

HeadError: TypeAlias = HeadTooLong | FirstLineTooLong | BareLineEnd | NulByte
"""Why a head is refused before it is complete."""

FramingError: TypeAlias = BadContentLength | LengthWithTransferCoding | UnknownTransferCoding | TransferCodingOnHttp10
"""Why the end of a body is unclear."""

FieldsError: TypeAlias = HeadError | BadFieldLine | TooManyFields | UnsupportedVersion | RepeatedField | BadFieldValue
"""Why a request or a response is refused, whatever its kind."""

TargetError: TypeAlias = (
    BadRequestLine | TargetTooLong | BadTarget | ConnectAsked | HostMissing | BadHost | HostDisagrees
)
"""Why it is unclear what a request asks for, and of whom."""

IntentError: TypeAlias = TraceWithBody | UnknownExpectation | UpgradeWithBody | BodyTooLong
"""Why a well-formed request is not one we forward."""

AnswerError: TypeAlias = BadStatusLine | BodyNotAllowed | SwitchUnnamed
"""Why a response is none."""

ChunkError: TypeAlias = BadChunkLine | ChunkLineTooLong | ChunkNotEnded | TrailersTooLong | EndedEarly
"""Why a body is broken."""

RequestError: TypeAlias = FieldsError | FramingError | TargetError | IntentError
"""Why a request head is refused."""

ResponseError: TypeAlias = FieldsError | FramingError | AnswerError
"""Why a response head is refused; the visitor gets 502."""

BodyError: TypeAlias = ChunkError | BareLineEnd | BadFieldLine | TooManyFields | BodyTooLong
"""Why a body is refused."""

HttpError: TypeAlias = RequestError | ResponseError | BodyError
"""Every fault this folder finds."""

BAD_REQUEST: Final = 400
_STATUS: Final[dict[type[object], int]] = {
    HeadTooLong: 431,
    FirstLineTooLong: 414,
    TargetTooLong: 414,
    TooManyFields: 431,
    TrailersTooLong: 431,
    BodyTooLong: 413,
    UnsupportedVersion: 505,
    ConnectAsked: 501,
    UnknownExpectation: 417,
}


def code_of(error: HttpError) -> str:
    """The stable kebab-case name of a fault, for problem documents and logs."""
    return error.code


def status_of(error: RequestError | BodyError) -> int:
    """The status a visitor gets for its own fault: 400 unless another says more (RFC 9110 section 15.5, RFC 6585)."""
    return _STATUS.get(type(error), BAD_REQUEST)


def describe(error: HttpError) -> str:
    """What was seen, what was expected and what to do, in one line of ASCII."""
    if isinstance(error, FieldsError):
        return _fields_sentence(error)
    if isinstance(error, FramingError):
        return _framing_sentence(error)
    if isinstance(error, TargetError):
        return _target_sentence(error)
    if isinstance(error, ChunkError):
        return _chunk_sentence(error)
    return _other_sentence(error)


# Each function below gives the one member that is left its type: one that is added to a union and forgotten here is a
# type error on that line.


def _fields_sentence(error: FieldsError) -> str:
    match error:
        case HeadTooLong(limit=limit):
            return f"The head did not end within {limit} bytes; send fewer or shorter fields."
        case FirstLineTooLong(limit=limit):
            return f"The first line did not end within {limit} bytes; send a shorter target."
        case BareLineEnd(at=at):
            return f"A lone CR or LF was found near byte {at}; end every line with CR LF."
        case NulByte(at=at):
            return f"A NUL was found at byte {at}, where HTTP/1.1 was expected; is this another protocol?"
        case BadFieldLine(seen=seen):
            return f"{seen!r} is not `name: value`; send no control bytes, no folded lines, no space around names."
        case TooManyFields(limit=limit):
            return f"More than {limit} fields came; send fewer."
        case UnsupportedVersion(seen=seen):
            return f"{seen!r} is not spoken here; use HTTP/1.1 or HTTP/1.0."
        case RepeatedField(name=name):
            return f"The field {name!r} came more than once; send it once, even when the values are equal."
        case _:
            last: BadFieldValue = error
            return f"{last.seen!r} is no value of the field {last.name!r}; send a comma-separated list of tokens."


def _framing_sentence(error: FramingError) -> str:
    match error:
        case BadContentLength(seen=seen):
            return f"{seen!r} is not a Content-Length; send one number in decimal digits."
        case LengthWithTransferCoding():
            return "Content-Length and Transfer-Encoding came together; send one of them."
        case UnknownTransferCoding(seen=seen):
            return f"The transfer coding {seen!r} is not accepted; send `chunked` alone, or a Content-Length."
        case _:
            _last: TransferCodingOnHttp10 = error
            return "Transfer-Encoding came in an HTTP/1.0 message; use HTTP/1.1 or a Content-Length."


def _target_sentence(error: TargetError) -> str:
    match error:
        case BadRequestLine(seen=seen):
            return f"{seen!r} is not a request line; send `METHOD target HTTP/1.1` with single spaces."
        case TargetTooLong(seen=seen, limit=limit):
            return f"The target has {seen} bytes where {limit} are allowed; send a shorter one."
        case BadTarget(seen=seen):
            return f"{seen!r} is not a target of this method; send a path that begins with `/`, percent-encoded."
        case ConnectAsked():
            return "CONNECT asks for a proxy, which this is not; send the request to its own host."
        case HostMissing():
            return "No Host field came; send the name the request is for."
        case BadHost(seen=seen):
            return f"{seen!r} is not a Host; send one name or address, with a port from 1 to 65535 if any."
        case _:
            last: HostDisagrees = error
            return f"The target names {last.target!r} and the Host field {last.host!r}; send the same in both."


def _chunk_sentence(error: ChunkError) -> str:
    match error:
        case BadChunkLine(seen=seen):
            return f"{seen!r} does not begin a chunk; send 1 to 16 hexadecimal digits and CR LF."
        case ChunkLineTooLong(limit=limit):
            return f"The chunk extensions of the body exceed {limit} bytes; send none."
        case ChunkNotEnded(seen=seen):
            return f"Byte {seen} came where CR LF ends a chunk; send as much data as the chunk size says."
        case TrailersTooLong(limit=limit):
            return f"The trailers exceed {limit} bytes; send fewer."
        case _:
            last: EndedEarly = error
            whole = f"of {last.expected}" if last.expected >= 0 else "and before the last chunk"
            return f"The sender finished after {last.received} bytes {whole}; send the whole body."


def _other_sentence(error: IntentError | AnswerError) -> str:
    match error:
        case TraceWithBody():
            return "A TRACE came with content; send it without."
        case UnknownExpectation(seen=seen):
            return f"The expectation {seen!r} cannot be met; send `100-continue` or none."
        case UpgradeWithBody(upgrade=upgrade):
            return f"An upgrade to {upgrade!r} came with content; send it without."
        case BodyTooLong(limit=limit):
            return f"The body is longer than the {limit} bytes allowed; send less."
        case BadStatusLine(seen=seen):
            return f"{seen!r} is not a status line; send `HTTP/1.1`, a status from 100 to 599 and a reason."
        case BodyNotAllowed(status=status):
            return f"A body was declared for status {status}, which has none; send no framing field."
        case _:
            _last: SwitchUnnamed = error
            return "A 101 came without `Connection: upgrade` and `Upgrade`; name the protocol."
