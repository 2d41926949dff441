"""Who is signed in at the dashboard."""

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success
from tunnel.core.control.credential import WebSession
from tunnel.store.driver import Transaction
from tunnel.store.errors import NotFound, Told
from tunnel.store.part import Part
from tunnel.store.rows import web_session_of


class WebSessions(Part):
    """The calls of `SessionStore`."""

    async def put_web_session(self, session: WebSession) -> Told[None]:
        """Kept, or kept anew with the same `cookie_hash`; those that ended by time are forgotten on the way."""

        async def work(tx: Transaction) -> Told[None]:
            await tx.rows("DELETE FROM web_sessions WHERE expires <= ?", session.seen)
            await tx.rows(
                "INSERT INTO web_sessions (cookie_hash, identity, account, role, api_key, csrf, created, seen, "
                "expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (cookie_hash) DO UPDATE SET "
                "identity = excluded.identity, account = excluded.account, role = excluded.role, "
                "api_key = excluded.api_key, csrf = excluded.csrf, created = excluded.created, seen = excluded.seen, "
                "expires = excluded.expires",
                session.cookie_hash,
                session.identity,
                session.account,
                session.role.value,
                session.key,
                session.csrf,
                session.created,
                session.seen,
                session.expires,
            )
            return Success(None)

        return await self._driver.write(work)

    async def note_web_session_seen(self, cookie_hash: bytes, now: UnixSeconds) -> Told[None]:
        """Success also when there is none (any more): one that was ended meanwhile is not begun again."""

        async def work(tx: Transaction) -> Told[None]:
            await tx.rows("UPDATE web_sessions SET seen = ? WHERE cookie_hash = ?", now, cookie_hash)
            return Success(None)

        return await self._driver.write(work)

    async def web_session(self, cookie_hash: bytes, now: UnixSeconds) -> Told[WebSession]:
        """The session, or NotFound, also when it is past its `expires`."""
        sql = "SELECT {web_session} FROM web_sessions WHERE cookie_hash = ? AND expires > ?"
        missing = NotFound("session", cookie_hash.hex()[:8])
        return await self._one(sql, (cookie_hash, now), web_session_of, missing)

    async def drop_web_session(self, cookie_hash: bytes) -> Told[None]:
        """Success also when there is none."""

        async def work(tx: Transaction) -> Told[None]:
            await tx.rows("DELETE FROM web_sessions WHERE cookie_hash = ?", cookie_hash)
            return Success(None)

        return await self._driver.write(work)

    async def drop_web_sessions(self, identity: str) -> Told[int]:
        """How many sessions of this identity ended: it signed out everywhere."""

        async def work(tx: Transaction) -> Told[int]:
            return Success(len(await tx.rows("DELETE FROM web_sessions WHERE identity = ? RETURNING seen", identity)))

        return await self._driver.write(work)
