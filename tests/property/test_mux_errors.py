"""Every error has one sentence with its facts in it, and one code on the wire."""

import pytest

from tunnel.core.base.ids import StreamId
from tunnel.core.mux.errors import (
    CannotOpen,
    FlowControlViolated,
    FrameTooLong,
    MuxError,
    PeerDoesNotRead,
    PeerSilent,
    SessionDraining,
    SessionFrameOnStream,
    SessionOver,
    StreamGone,
    StreamIdsExhausted,
    StreamLimitReached,
    StreamReopened,
    StreamZero,
    UnknownKind,
    UnknownVersion,
    WindowOverflow,
    WrongParity,
    describe,
    go_away_code,
)

ENDINGS: list[MuxError] = [
    UnknownVersion(17),
    UnknownKind(117),
    SessionFrameOnStream(2, 1017),
    StreamZero(1),
    FrameTooLong(17, 1_048_577, 1_048_576),
    WrongParity(StreamId(1018)),
    StreamReopened(StreamId(1019)),
    FlowControlViolated(StreamId(1021), 71_000, 70_000),
    WindowOverflow(StreamId(1023), 262_144, 4_294_967_295),
    PeerDoesNotRead(1025, 1024),
    PeerSilent(16.2, 15.1),
]
REFUSALS: list[CannotOpen | StreamGone] = [
    SessionOver(),
    SessionDraining(),
    StreamLimitReached(1024),
    StreamIdsExhausted(4_294_967_295),
    StreamGone(StreamId(1029)),
]


def name_of(error: object) -> str:
    return type(error).__name__


@pytest.mark.parametrize("error", [*ENDINGS, *REFUSALS], ids=name_of)
def test_the_sentence_holds_the_facts_and_says_what_to_do(error: MuxError | CannotOpen | StreamGone) -> None:
    sentence = describe(error)
    facts = [getattr(error, name) for name in error.__dataclass_fields__]
    assert [fact for fact in facts if str(fact) not in sentence] == []
    assert ": " in sentence


def test_no_two_errors_share_a_sentence() -> None:
    sentences = {describe(error) for error in [*ENDINGS, *REFUSALS]}
    assert len(sentences) == len(ENDINGS) + len(REFUSALS)


@pytest.mark.shows("MUX-AWAY-003", "MUX-PING-004")
@pytest.mark.parametrize("error", ENDINGS, ids=name_of)
def test_all_but_silence_is_a_protocol_error(error: MuxError) -> None:
    assert go_away_code(error) == (2 if isinstance(error, PeerSilent) else 1)
