"""Who is signed in: sessions in the store, known by a digest of their cookie, judged anew at every request.

Nothing about a person is remembered in the cookie. A key that was revoked, a member who was removed and a session that
was idle too long are out at the next request, whatever their browser holds.
"""

from typing import Final

from tunnel.api.pages.cookies import digest_of, new_id
from tunnel.api.pages.visit import Viewer
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.credential import KeyRecord, WebSession
from tunnel.core.control.rights import effective_scopes
from tunnel.core.control.roles import Role, Scope, scopes_of
from tunnel.core.token.token import AccountId
from tunnel.store.errors import NotFound, StoreError
from tunnel.store.port import Store

IDLE_SECONDS: Final = 3600
"""Without a request for so long, a session is over."""
ABSOLUTE_SECONDS: Final = 12 * 3600
"""And after so long in any case: a working day."""
_SEEN_SECONDS: Final = 60
"""`seen` is written when it is older than this: reading should cost no write."""
_CSRF_BYTES: Final = 32


async def open_session(
    store: Store, identity: str, account: AccountId | None, role: Role, key: str, random: bytes, now: UnixSeconds
) -> Outcome[str, StoreError]:
    """A new session under a new cookie, which is returned; what the browser held before is not taken over."""
    cookie = new_id()
    session = WebSession(
        cookie_hash=digest_of(cookie),
        identity=identity,
        account=account,
        role=role,
        key=key,
        csrf=random[:_CSRF_BYTES],
        created=now,
        seen=now,
        expires=UnixSeconds(now + ABSOLUTE_SECONDS),
    )
    put = await store.put_web_session(session)
    return Success(cookie) if isinstance(put, Success) else put


async def viewer_of(
    store: Store, cookie: str, now: UnixSeconds, *, is_used: bool
) -> Outcome[Viewer | None, StoreError]:
    """Whose cookie this is, None when nobody's any more; `is_used` is false for what a page asks by itself."""
    if not cookie:
        return Success(None)
    found = await store.web_session(digest_of(cookie), now)
    if not isinstance(found, Success):
        return _nobody(error_of(found))
    session = value_of(found)
    if now >= session.expires or now - session.seen > IDLE_SECONDS:
        dropped = await store.drop_web_session(session.cookie_hash)
        return Success(None) if isinstance(dropped, Success) else dropped
    judged = await _judged(store, session, now)
    if not isinstance(judged, Success) or not is_used or now - session.seen < _SEEN_SECONDS:
        return judged
    noted = await store.note_web_session_seen(session.cookie_hash, now)
    return judged if isinstance(noted, Success) else noted


def _nobody(error: StoreError) -> Outcome[Viewer | None, StoreError]:
    return Success(None) if isinstance(error, NotFound) else Failure(error)


async def _judged(store: Store, session: WebSession, now: UnixSeconds) -> Outcome[Viewer | None, StoreError]:
    """What the one who signed in may do now, by the key or the membership as it is now."""
    if session.key:
        found = await store.key(session.key)
        if not isinstance(found, Success):
            return _nobody(error_of(found))
        return Success(_viewer_by_key(session, value_of(found), now))
    memberships = await store.memberships(session.identity)
    if not isinstance(memberships, Success):
        return memberships
    role = next((each.role for each in value_of(memberships) if each.account == session.account), None)
    return Success(None if role is None else _viewer(session, role, scopes_of(role), session.identity))


def _viewer_by_key(session: WebSession, key: KeyRecord, now: UnixSeconds) -> Viewer | None:
    if key.revoked is not None or (key.expires is not None and now >= key.expires) or key.account != session.account:
        return None
    scopes = effective_scopes(key)
    if key.account is None and Scope.OPERATE in scopes:
        scopes = frozenset(Scope)
    return _viewer(session, key.role, scopes, key.label or key.key)


def _viewer(session: WebSession, role: Role, scopes: frozenset[Scope], name: str) -> Viewer:
    return Viewer(
        identity=session.identity,
        name=name,
        role=role,
        scopes=scopes,
        account=session.account,
        key=session.key,
        csrf=session.csrf.hex(),
        cookie_hash=session.cookie_hash,
    )
