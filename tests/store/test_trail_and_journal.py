"""The audit trail, checkpoints, journals, sessions at the dashboard and idempotency keys, on both databases."""

import dataclasses

import pytest
from tests.support.store_world import (
    ACT,
    NOW,
    account,
    account_id,
    given,
    member,
    name,
    refused,
    token_id,
    web_session,
)

from tunnel.core.audit.checkpoint import Checkpoint, checkpoint_of
from tunnel.core.audit.entry import GENESIS, AuditFacts, ChainHead, digest_of, next_entry
from tunnel.core.base.ids import Epoch, Label, SessionId, UnixSeconds
from tunnel.core.control.act import Act
from tunnel.core.control.credential import IdempotentAnswer
from tunnel.core.control.page import Page
from tunnel.core.journal.records import (
    AgentRefused,
    JournalId,
    NameLost,
    NameTaken,
    Record,
    RecordsDropped,
    RecordsMissing,
    ServerNote,
    ServerNoted,
    SessionBegan,
    SessionClosed,
    UsageNoted,
)
from tunnel.store.errors import AlreadyExists, Conflict, NotFound, Unstorable
from tunnel.store.port import AuditFilter, Store

pytestmark = pytest.mark.anyio

JOURNAL = JournalId(b"j" * 16)
RECORDS: tuple[Record, ...] = (
    UsageNoted(account_id(1), "demo", NOW, 1, 2, 3, 4),
    SessionBegan(SessionId(7), account_id(1), token_id(1), "192.0.2.1", NOW),
    SessionClosed(SessionId(7), account_id(1), token_id(1), "192.0.2.1", "agent left", 60, NOW),
    AgentRefused("192.0.2.9", "bad-signature", "not one of ours", 3, NOW),
    NameTaken(Label("demo"), account_id(1), SessionId(7), Epoch(2), "192.0.2.1", NOW),
    NameLost(Label("demo"), account_id(1), SessionId(7), Epoch(2), NOW),
    ServerNoted(ServerNote.RELOAD_FAILED, "its certificate cannot be read", NOW),
    RecordsDropped(5, UnixSeconds(NOW - 9), NOW),
    RecordsMissing(12, 3, "a frame's sum is wrong", NOW),
)


def facts(number: int, of: int | None = 1, identity: str = "ada@example.com") -> AuditFacts:
    """What somebody did, numbered."""
    act = dataclasses.replace(ACT, identity=identity)
    whose = None if of is None else account_id(of)
    return AuditFacts(act, f"test.{number % 3}", f"subject-{number}", whose, "", "{}", UnixSeconds(NOW + number))


async def is_whole(store: Store) -> bool:
    """Whether every entry follows the one before it, with its number and its digest."""
    head, count = GENESIS, 0
    while entries := given(await store.audit_range(head.number + 1, head.number + 200, 200)):
        for entry in entries:
            if entry != next_entry(head, entry.facts) or entry.digest != digest_of(
                head.digest, entry.number, entry.facts
            ):
                return False
            head, count = entry.head, count + 1
    return given(await store.audit_head()) == head and count == head.number


@pytest.mark.shows("STORE-AUDIT-002")
async def test_entries_form_one_chain_and_come_back_as_they_were_written(store: Store) -> None:
    assert given(await store.audit_head()) == GENESIS
    first = given(await store.note_audit(facts(1)))
    assert first == next_entry(GENESIS, facts(1))
    second = given(await store.note_audit(facts(2, None)))
    assert second == next_entry(first.head, facts(2, None))
    assert given(await store.audit_range(1, 9, 9)) == (first, second)
    assert given(await store.audit_range(2, 2, 9)) == (second,)
    assert given(await store.audit_range(1, 9, 1)) == (first,)
    assert given(await store.audit_head()) == second.head
    given(await store.create_account(account(1), ACT, NOW))
    assert await is_whole(store)


@pytest.mark.shows("STORE-AUDIT-002")
async def test_texts_that_no_database_holds_are_cleaned_in_the_trail(store: Store) -> None:
    odd = dataclasses.replace(facts(1), subject="a\x00b\ud800", before="x" * 100_000)
    entry = given(await store.note_audit(odd))
    assert given(await store.audit_range(1, 1, 1)) == (entry,)
    assert await is_whole(store)


@pytest.mark.shows("STORE-AUDIT-003")
async def test_the_trail_is_filtered_by_each_of_its_parts(store: Store) -> None:
    for number in range(1, 10):
        given(await store.note_audit(facts(number, None if number == 9 else 1 + number % 2, f"who-{number % 4}")))

    async def numbers(chosen: AuditFilter) -> list[int]:
        return [entry.number for entry in given(await store.audit_page(chosen, Page())).items]

    assert await numbers(AuditFilter()) == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert await numbers(AuditFilter(account=account_id(1))) == [8, 6, 4, 2]
    assert await numbers(AuditFilter(action="test.")) == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert await numbers(AuditFilter(action="test.0")) == [9, 6, 3]
    assert await numbers(AuditFilter(action="est")) == []
    assert await numbers(AuditFilter(identity="who-3")) == [7, 3]
    assert await numbers(AuditFilter(subject="subject-5")) == [5]
    assert await numbers(AuditFilter(since=UnixSeconds(NOW + 3), until=UnixSeconds(NOW + 5))) == [4, 3]
    assert await numbers(AuditFilter(account=account_id(1), identity="who-0", action="test.2")) == [8]


@pytest.mark.shows("STORE-AUDIT-004")
async def test_checkpoints_follow_each_other_without_a_fork(store: Store) -> None:
    def checkpoint(number: int, before: int) -> Checkpoint:
        made = checkpoint_of(ChainHead(number, b"\x11" * 32), before, NOW, b"k" * 32)
        assert made is not None
        return made

    assert given(await store.last_checkpoint()) is None
    for number, before in ((5, 0), (9, 5), (20, 9)):
        given(await store.add_checkpoint(checkpoint(number, before)))
    assert refused(await store.add_checkpoint(checkpoint(9, 8))) == AlreadyExists("checkpoint", "9")
    assert refused(await store.add_checkpoint(checkpoint(11, 9))) == AlreadyExists("checkpoint", "11")
    assert given(await store.checkpoints(0, 100, 100)) == (checkpoint(5, 0), checkpoint(9, 5), checkpoint(20, 9))
    assert given(await store.checkpoints(6, 19, 100)) == (checkpoint(9, 5),)
    assert given(await store.checkpoints(0, 100, 1)) == (checkpoint(5, 0),)
    assert given(await store.last_checkpoint()) == checkpoint(20, 9)


@pytest.mark.shows("STORE-JOURNAL-001")
@pytest.mark.parametrize("cut", range(len(RECORDS) + 1))
async def test_a_journal_sent_in_pieces_and_again_is_applied_once(store: Store, cut: int) -> None:
    assert given(await store.journal_position(JOURNAL)) == 0
    assert given(await store.apply_journal(JOURNAL, 1, RECORDS[:cut], ACT, NOW)) == cut
    assert given(await store.journal_position(JOURNAL)) == cut
    assert given(await store.apply_journal(JOURNAL, 1, RECORDS, ACT, NOW)) == len(RECORDS)
    assert given(await store.apply_journal(JOURNAL, 1, RECORDS[:cut], ACT, NOW)) == len(RECORDS)
    assert given(await store.apply_journal(JOURNAL, 1, RECORDS, ACT, NOW)) == len(RECORDS)
    assert given(await store.usage_month(account_id(1), NOW)).requests == 1
    entries = given(await store.audit_range(1, 100, 100))
    assert [entry.facts.action for entry in entries] == [
        "session.begin", "session.end", "agent.refuse", "name.take", "name.lose", "server.reload-failed",
        "journal.drop", "journal.missing",
    ]  # fmt: skip
    assert await is_whole(store)


@pytest.mark.shows("STORE-JOURNAL-001")
async def test_journals_are_apart_and_one_that_is_forgotten_is_known_for_a_day(store: Store) -> None:
    other = JournalId(b"k" * 16)
    given(await store.apply_journal(JOURNAL, 1, RECORDS, ACT, NOW))
    given(await store.apply_journal(other, 1, RECORDS[:1], ACT, NOW))
    given(await store.forget_journal(JOURNAL, NOW))
    given(await store.forget_journal(JOURNAL, UnixSeconds(NOW + 86_399)))
    assert given(await store.apply_journal(JOURNAL, 1, RECORDS, ACT, NOW)) == len(RECORDS), "somebody had it in hand"
    given(await store.forget_journal(JOURNAL, UnixSeconds(NOW + 86_400)))
    assert given(await store.journal_position(JOURNAL)) == 0
    assert given(await store.journal_position(other)) == 1
    assert given(await store.usage_month(account_id(1), NOW)).requests == 2


@pytest.mark.shows("STORE-JOURNAL-001")
async def test_a_journal_with_a_gap_goes_on_behind_it(store: Store) -> None:
    assert given(await store.apply_journal(JOURNAL, 5, RECORDS[:2], ACT, NOW)) == 6
    assert given(await store.apply_journal(JOURNAL, 1, RECORDS[:4], ACT, NOW)) == 6
    assert given(await store.usage_month(account_id(1), NOW)).requests == 1


@pytest.mark.shows("STORE-JOURNAL-002")
async def test_what_an_agent_did_is_said_of_its_token_and_address(store: Store) -> None:
    applier = Act("journal", "", "", "")
    given(await store.apply_journal(JOURNAL, 1, RECORDS, applier, NOW))
    began, _, turned_away, taken, lost, failed, *_ = given(await store.audit_range(1, 100, 100))
    assert began.facts.act == Act(f"token:{token_id(1).hex()}", "192.0.2.1", "", "")
    assert (began.facts.subject, began.facts.account) == ("7", account_id(1))
    assert turned_away.facts.act.address == "192.0.2.9"
    assert '"count":3' in turned_away.facts.after
    assert (taken.facts.subject, lost.facts.subject) == ("demo", "demo")
    assert failed.facts.act == applier
    assert "certificate" in failed.facts.after


@pytest.mark.shows("STORE-JOURNAL-001")
async def test_records_that_cannot_be_kept_leave_nothing_behind(store: Store) -> None:
    most = UsageNoted(account_id(1), "demo", NOW, (1 << 63) - 1, 0, 0, 0)
    given(await store.apply_journal(JOURNAL, 1, (most,), ACT, NOW))
    beside = UsageNoted(account_id(1), "beside", NOW, 1, 0, 0, 0)
    error = refused(await store.apply_journal(JOURNAL, 2, (beside, *RECORDS), ACT, NOW))
    assert isinstance(error, Unstorable)
    assert given(await store.journal_position(JOURNAL)) == 1
    assert given(await store.usage_month(account_id(1), NOW)).requests == (1 << 63) - 1
    assert given(await store.audit_head()) == GENESIS


@pytest.mark.shows("STORE-JOURNAL-002")
async def test_no_text_of_a_record_keeps_a_journal_from_being_applied(store: Store) -> None:
    odd = "a\x00\ud800" + "x" * 100_000
    records: tuple[Record, ...] = (
        UsageNoted(account_id(1), odd, NOW, 1, 0, 0, 0),
        AgentRefused(odd, odd, odd, 1, NOW),
        SessionClosed(SessionId(7), account_id(1), token_id(1), odd, odd, 60, NOW),
    )
    assert given(await store.apply_journal(JOURNAL, 1, records, ACT, NOW)) == 3
    assert given(await store.usage_month(account_id(1), NOW)).requests == 1
    assert await is_whole(store)


@pytest.mark.shows("STORE-PORT-001")
async def test_sessions_at_the_dashboard_end_by_time_and_everywhere_at_once(store: Store) -> None:
    given(await store.create_account(account(1), ACT, NOW))
    for cookie in (1, 2):
        given(await store.put_web_session(web_session(cookie)))
    given(await store.put_web_session(web_session(3, None, expires=NOW + 5)))
    seen = dataclasses.replace(web_session(1), seen=UnixSeconds(NOW + 1))
    given(await store.put_web_session(seen))
    assert given(await store.web_session(seen.cookie_hash, NOW)) == seen
    short = web_session(3).cookie_hash
    assert given(await store.web_session(short, UnixSeconds(NOW + 4))).account is None
    assert refused(await store.web_session(short, UnixSeconds(NOW + 5))) == NotFound("session", short.hex()[:8])
    given(await store.drop_web_session(short))
    given(await store.drop_web_session(short))
    assert given(await store.drop_web_sessions("bob@example.com")) == 2
    assert given(await store.drop_web_sessions("bob@example.com")) == 0
    assert isinstance(refused(await store.web_session(seen.cookie_hash, NOW)), NotFound)


@pytest.mark.shows("STORE-ANSWER-001")
async def test_a_write_that_is_sent_twice_is_claimed_once(store: Store) -> None:
    answer = IdempotentAnswer("k_1", "retry-1", b"digest", 201, b"{}", NOW)
    assert given(await store.claim_idempotent("k_1", "retry-1", b"digest", NOW)) is None
    busy = Conflict("idempotency key", "retry-1", "request-in-progress")
    assert refused(await store.claim_idempotent("k_1", "retry-1", b"digest", NOW)) == busy
    assert given(await store.claim_idempotent("k_2", "retry-1", b"digest", NOW)) is None
    given(await store.remember_idempotent(answer))
    assert given(await store.claim_idempotent("k_1", "retry-1", b"digest", NOW)) == answer
    other = Conflict("idempotency key", "retry-1", "key-of-another-request")
    assert refused(await store.claim_idempotent("k_1", "retry-1", b"another", NOW)) == other
    given(await store.forget_idempotent("k_1", "retry-1"))
    assert given(await store.claim_idempotent("k_1", "retry-1", b"digest", NOW)) == answer
    given(await store.forget_idempotent("k_2", "retry-1"))
    assert given(await store.claim_idempotent("k_2", "retry-1", b"another", NOW)) is None


@pytest.mark.shows("STORE-ANSWER-001")
async def test_a_claim_lasts_a_minute_and_an_answer_a_day(store: Store) -> None:
    assert given(await store.claim_idempotent("k", "a", b"d", NOW)) is None
    assert isinstance(refused(await store.claim_idempotent("k", "a", b"d", UnixSeconds(NOW + 59))), Conflict)
    assert given(await store.claim_idempotent("k", "a", b"d", UnixSeconds(NOW + 60))) is None
    answer = IdempotentAnswer("k", "a", b"d", 200, b"", NOW)
    given(await store.remember_idempotent(answer))
    assert given(await store.claim_idempotent("k", "a", b"d", UnixSeconds(NOW + 86_399))) == answer
    assert given(await store.claim_idempotent("k", "a", b"d", UnixSeconds(NOW + 86_400))) is None


@pytest.mark.shows("STORE-PAGE-001")
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 500])
async def test_each_list_gives_each_row_once_whatever_the_page(store: Store, limit: int) -> None:
    texts = ["a", "ab", "a-b", "b", "z9", "0"]
    given(await store.create_account(account(1), ACT, NOW))
    for number, text in enumerate(texts):
        given(await store.reserve_name(name(text), ACT, NOW))
        given(await store.add_member(member(1, text), ACT, NOW))
        given(await store.note_audit(facts(number)))
    after: str | None = ""
    seen = list[str]()
    while after is not None:
        page = given(await store.names(None, Page(after, limit)))
        assert len(page.items) <= limit
        seen += [one.name for one in page.items]
        after = page.next
    assert seen == sorted(texts)
    first = given(await store.members(account_id(1), Page("", limit)))
    assert [one.identity for one in first.items] == sorted(texts)[:limit]
    assert (first.next is None) == (limit >= len(texts))


@pytest.mark.shows("STORE-PAGE-001")
async def test_text_is_ordered_by_its_bytes_whatever_the_locale(store: Store) -> None:
    texts = ["a", "B", "ä", "Z", "z", "é", "_", "\U0001f600", "\uffff"]
    for number, text in enumerate(texts):
        given(await store.create_account(account(number, text), ACT, NOW))
    found = given(await store.accounts(Page())).items
    assert [one.name for one in found] == sorted(texts, key=lambda text: text.encode())
    seen = list[str]()
    after: str | None = ""
    while after is not None:
        page = given(await store.accounts(Page(after, 2)))
        seen += [one.name for one in page.items]
        after = page.next
    assert seen == [one.name for one in found]


@pytest.mark.shows("STORE-PAGE-002")
@pytest.mark.parametrize("after", ["nonsense", "12", ".", "12.", "1.zz", "-1.aa", "9" * 40 + ".aa", "\x00", "٣.aa"])
async def test_an_after_that_no_page_gave_is_refused_or_means_some_place(store: Store, after: str) -> None:
    lists = (
        store.tokens(None, Page(after)),
        store.keys(account_id(1), Page(after)),
        store.audit_page(AuditFilter(), Page(after)),
        store.leases(None, Page(after)),
        store.usage(account_id(1), NOW, NOW, Page(after)),
        store.names(None, Page(after)),
    )
    for one in lists:
        told = await one
        assert not hasattr(told, "error") or isinstance(refused(told), Unstorable)


@pytest.mark.shows("STORE-PORT-002")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a\x00b", "text with a zero character"),
        ("a\ud800", "text with half a surrogate pair"),
        ("x" * ((1 << 20) + 1), "more than a mebibyte"),
        ("x" * 201, "it breaks a rule of its table"),
        ("", "it breaks a rule of its table"),
    ],
    ids=["zero", "surrogate", "huge", "long", "empty"],
)
async def test_what_one_database_cannot_keep_neither_keeps(store: Store, text: str, why: str) -> None:
    error = refused(await store.create_account(dataclasses.replace(account(1), name=text), ACT, NOW))
    assert isinstance(error, Unstorable)
    assert error.why == why
    assert given(await store.accounts(Page())).items == ()
    assert given(await store.audit_head()) == GENESIS


@pytest.mark.shows("STORE-PORT-002")
async def test_numbers_up_to_63_bits_are_kept_and_no_larger_ones(store: Store) -> None:
    largest = (1 << 63) - 1
    given(await store.create_account(dataclasses.replace(account(1), ttl_max=largest), ACT, NOW))
    assert given(await store.account(account_id(1))).ttl_max == largest
    error = refused(await store.create_account(dataclasses.replace(account(2), ttl_max=largest + 1), ACT, NOW))
    assert error == Unstorable("a number beyond 64 bits", str(largest + 1))
    error = refused(await store.create_account(dataclasses.replace(account(2), ttl_max=-1), ACT, NOW))
    assert isinstance(error, Unstorable)
