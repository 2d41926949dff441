"""Journals for tests: one record of every kind, a strategy for all, and segments made of them."""

from pathlib import Path
from typing import Final

from hypothesis import strategies as st

from tunnel.core.base.ids import Epoch, Label, SessionId, UnixSeconds
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.journal.frames import HEAD_BYTES, SegmentHead, frame_bytes, head_bytes, read_frames, read_head
from tunnel.core.journal.records import (
    AgentRefused,
    JournalId,
    NameLost,
    NameTaken,
    Noted,
    Numbered,
    RecordsDropped,
    ServerNote,
    ServerNoted,
    SessionBegan,
    SessionClosed,
    UsageNoted,
)
from tunnel.core.token.token import AccountId, TokenId
from tunnel.drive.segments import JOURNALS, SUFFIX

JOURNAL: Final = JournalId(bytes(range(16)))
OTHER_JOURNAL: Final = JournalId(bytes(range(16, 32)))
ACCOUNT: Final = AccountId(b"an account's id.")
TOKEN: Final = TokenId(b"the token's id..")
AT: Final = UnixSeconds(1_795_305_600)
"""2026-11-22T00:00:00Z, where an hour begins."""

RECORDS: Final[list[Noted]] = [
    UsageNoted(ACCOUNT, "web", AT, 17, 4_000, 1 << 40, 2),
    SessionBegan(SessionId(1), ACCOUNT, TOKEN, "192.0.2.1:50000", AT),
    NameTaken(Label("web"), ACCOUNT, SessionId(1), Epoch(9), "192.0.2.1:50000", AT),
    AgentRefused("[2001:db8::1]:50000", "bad-token", "the token's signature does not hold", 3, AT),
    ServerNoted(ServerNote.RELOAD, "2 workers", AT),
    NameLost(Label("web"), ACCOUNT, SessionId(1), Epoch(9), AT),
    SessionClosed(SessionId(1), ACCOUNT, TOKEN, "192.0.2.1:50000", "the agent left", 61, AT),
    RecordsDropped(12, AT, UnixSeconds(AT + 5)),
]


def segment(records: list[Noted], first: int = 1, number: int = 1) -> bytes:
    """A whole segment of `JOURNAL`."""
    frames = [frame_bytes(JOURNAL, first + place, record) for place, record in enumerate(records)]
    return b"".join([head_bytes(SegmentHead(JOURNAL, number, first)), *frames])


def record_strategy() -> st.SearchStrategy[Noted]:
    """Any record, with texts that need no cutting."""
    number = st.integers(0, 2**64 - 1)
    moment, session, epoch = number.map(UnixSeconds), number.map(SessionId), number.map(Epoch)
    sixteen = st.binary(min_size=16, max_size=16)
    account, token = sixteen.map(AccountId), sixteen.map(TokenId)
    words = st.characters(min_codepoint=32, max_codepoint=126)
    short, long = st.text(words, max_size=63), st.text(words, max_size=256)
    label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True).map(Label)
    return st.one_of(
        st.builds(UsageNoted, account, short, moment, number, number, number, number),
        st.builds(SessionBegan, session, account, token, short, moment),
        st.builds(SessionClosed, session, account, token, short, long, number, moment),
        st.builds(AgentRefused, short, short, long, number, moment),
        st.builds(NameTaken, label, account, session, epoch, short, moment),
        st.builds(NameLost, label, account, session, epoch, moment),
        st.builds(ServerNoted, st.sampled_from(ServerNote), long, moment),
        st.builds(RecordsDropped, number, moment, moment),
    )


def numbered_in(journal: Path) -> list[Numbered]:
    """Every record of one journal's folder, in order and once; fails where one is damaged or missing."""
    found: list[Numbered] = []
    for path in sorted(journal.glob(f"*{SUFFIX}")):
        data = path.read_bytes()
        head = read_head(data)
        assert isinstance(head, Success), (path, head)
        assert value_of(head).journal.hex() == journal.name
        portion = read_frames(value_of(head).journal, data[HEAD_BYTES:], value_of(head).first)
        for item in portion.items:
            assert isinstance(item, Numbered), (path, item)
            if item.sequence > len(found):
                assert item.sequence == len(found) + 1
                found.append(item)
    return found


def noted_in(state: Path) -> list[Noted]:
    """Every record of all journals of a state directory."""
    return [
        numbered.record
        for journal in sorted((state / JOURNALS).iterdir())
        if journal.is_dir()
        for numbered in numbered_in(journal)
    ]


def write_segment(folder: Path, journal: JournalId, number: int, first: int, records: list[Noted]) -> Path:
    """A segment of a journal, in its folder, which is made; dead, as nobody holds its lock."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:08d}{SUFFIX}"
    frames = [frame_bytes(journal, first + place, record) for place, record in enumerate(records)]
    path.write_bytes(b"".join([head_bytes(SegmentHead(journal, number, first)), *frames]))
    return path
