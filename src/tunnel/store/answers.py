"""Idempotency keys of the API: a write that is sent twice is done once."""

from typing import Final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.control.credential import IdempotentAnswer
from tunnel.store.driver import Transaction
from tunnel.store.errors import Conflict, Told
from tunnel.store.part import Part
from tunnel.store.rows import answer_of

KEPT_SECONDS: Final = 86_400
"""As long as clients retry, by the practice of payment APIs."""
CLAIM_SECONDS: Final = 60
"""No request takes longer; a claim that is older belongs to a process that died."""


class Answers(Part):
    """The calls of `AnswerStore`."""

    async def claim_idempotent(
        self, owner: str, key: str, request_digest: bytes, now: UnixSeconds
    ) -> Told[IdempotentAnswer | None]:
        """None: the key is the caller's, who does the work and remembers or forgets it. An answer: it was done."""

        async def work(tx: Transaction) -> Told[IdempotentAnswer | None]:
            await tx.rows("DELETE FROM answers WHERE at <= ?", now - KEPT_SECONDS)
            await tx.rows("DELETE FROM answers WHERE status = 0 AND at <= ?", now - CLAIM_SECONDS)
            found = await tx.rows("SELECT {answer} FROM answers WHERE owner = ? AND idempotency_key = ?", owner, key)
            if found:
                return _judged(answer_of(found[0]), request_digest)
            await tx.rows(
                "INSERT INTO answers (owner, idempotency_key, request_digest, status, body, at) "
                "VALUES (?, ?, ?, 0, ?, ?)",
                owner,
                key,
                request_digest,
                b"",
                now,
            )
            return Success(None)

        return await self._driver.write(work)

    async def remember_idempotent(self, answer: IdempotentAnswer) -> Told[None]:
        """The claimed key has its answer."""

        async def work(tx: Transaction) -> Told[None]:
            await tx.rows(
                "INSERT INTO answers (owner, idempotency_key, request_digest, status, body, at) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (owner, idempotency_key) DO UPDATE SET "
                "request_digest = excluded.request_digest, status = excluded.status, body = excluded.body, "
                "at = excluded.at",
                answer.owner,
                answer.key,
                answer.request_digest,
                answer.status,
                answer.body,
                answer.at,
            )
            return Success(None)

        return await self._driver.write(work)

    async def forget_idempotent(self, owner: str, key: str) -> Told[None]:
        """The claim is given up, since nothing was done; an answer stays."""

        async def work(tx: Transaction) -> Told[None]:
            await tx.rows("DELETE FROM answers WHERE owner = ? AND idempotency_key = ? AND status = 0", owner, key)
            return Success(None)

        return await self._driver.write(work)


def _judged(answer: IdempotentAnswer, request_digest: bytes) -> Told[IdempotentAnswer | None]:
    if answer.request_digest != request_digest:
        return Failure(Conflict("idempotency key", answer.key, "key-of-another-request"))
    if answer.status == 0:
        return Failure(Conflict("idempotency key", answer.key, "request-in-progress"))
    return Success(answer)
