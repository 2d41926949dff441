"""Who and what the tests of the store are about: accounts, keys, tokens and names that differ where they have to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.account import DEFAULT_PLAN, Account, Member, Plan
from tunnel.core.control.act import BY_SHELL, Act
from tunnel.core.control.credential import KeyRecord, TokenRecord, WebSession
from tunnel.core.control.name import LeaseRecord, NameRecord
from tunnel.core.control.roles import Role, scopes_of
from tunnel.core.token.token import AccountId, EndpointKind, NamePattern, TokenId
from tunnel.store.errors import StoreError, Told
from tunnel.store.open import open_store
from tunnel.store.port import Store

T = TypeVar("T")

NOW: Final = UnixSeconds(1_795_348_800)
"""2026-11-22 12:00:00 UTC."""
ACT: Final = Act(identity="ada@example.com", address="192.0.2.7", key=BY_SHELL, request="r-1")


@final
@dataclass(frozen=True, slots=True)
class Place:
    """Where a database is that nobody else uses."""

    kind: str
    url: str
    state: Path


async def opened_store(place: Place) -> Store:
    """One more store on the database, as another process would open it."""
    opened = await open_store(place.url, place.state, NOW)
    assert isinstance(opened, Success), opened
    return value_of(opened)


def given(told: Told[T]) -> T:
    """What the store gave; the test ends here when it gave an error."""
    assert isinstance(told, Success), told
    return value_of(told)


def refused(told: Told[T]) -> StoreError:
    """Why the store refused; the test ends here when it did not."""
    assert not isinstance(told, Success), told
    return error_of(told)


def account_id(number: int) -> AccountId:
    """The ID of the numbered account."""
    return AccountId(number.to_bytes(16, "big"))


def token_id(number: int) -> TokenId:
    """The ID of the numbered token."""
    return TokenId(b"token" + number.to_bytes(11, "big"))


def account(number: int, name: str = "", plan: str = DEFAULT_PLAN) -> Account:
    """An account that nothing is limited for."""
    return Account(
        account_id(number), name or f"account-{number}", NOW, plan, is_suspended=False, ttl_default=0, ttl_max=0
    )


def member(number: int, identity: str = "bob@example.com", role: Role = Role.DEVELOPER) -> Member:
    """Somebody of the numbered account."""
    return Member(account_id(number), identity, role, NOW)


def key(text: str, number: int | None = 1, role: Role = Role.OWNER, created: int = NOW) -> KeyRecord:
    """An API key of the numbered account, or an operator's."""
    return KeyRecord(
        key=text,
        account=None if number is None else account_id(number),
        label=f"label of {text}",
        role=role,
        scopes=scopes_of(role),
        secret_hash=b"\xa5" * 32,
        created=UnixSeconds(created),
        expires=None,
        revoked=None,
        last_used=None,
    )


def token(number: int, of: int = 1, created: int = NOW, expiry: int = NOW + 3600) -> TokenRecord:
    """A token of the numbered account."""
    return TokenRecord(
        token=token_id(number),
        account=account_id(of),
        label=f"token {number}",
        pattern=NamePattern("demo-*"),
        kinds=frozenset({EndpointKind.HTTP, EndpointKind.TLS}),
        names_max=3,
        streams_max=65_535,
        sessions_max=1,
        not_before=NOW,
        expiry=UnixSeconds(expiry),
        minted_by="ada@example.com",
        created=UnixSeconds(created),
        revoked=None,
    )


def name(text: str, of: int = 1, note: str = "") -> NameRecord:
    """A name that the numbered account reserves."""
    return NameRecord(Label(text), account_id(of), NOW, note)


def lease(
    text: str, of: int = 1, host: str = "host-a", session: str = "1", epoch: int = 1, server: str = "a" * 32
) -> LeaseRecord:
    """What a host says of a name."""
    return LeaseRecord(
        name=Label(text),
        account=account_id(of),
        session=session,
        peer="198.51.100.4:50000",
        host=host,
        epoch=epoch,
        since=NOW,
        heartbeat=UnixSeconds(NOW + 5),
        lapses=UnixSeconds(NOW + 35),
        server=server,
    )


def plan(text: str, names_max: int = 0, requests_month: int = 0) -> Plan:
    """A plan that bounds names and requests."""
    return Plan(text, names_max, 0, requests_month, 0, 0)


def web_session(cookie: int, of: int | None = 1, api_key: str = "", expires: int = NOW + 600) -> WebSession:
    """Somebody signed in."""
    return WebSession(
        cookie_hash=cookie.to_bytes(32, "big"),
        identity="bob@example.com",
        account=None if of is None else account_id(of),
        role=Role.DEVELOPER,
        key=api_key,
        csrf=b"\x5a" * 16,
        created=NOW,
        seen=NOW,
        expires=UnixSeconds(expires),
    )
