"""Idempotency keys of the API: a write that is sent twice is done once (ADR 0091)."""

from typing import Final, TypeVar, final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.control.credential import IdempotentAnswer
from tunnel.store.driver import Driver, Transaction, Work
from tunnel.store.errors import Conflict, StoreError, Told
from tunnel.store.part import Part
from tunnel.store.port import Keeper
from tunnel.store.rows import answer_of

T = TypeVar("T")

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
                "at = excluded.at WHERE answers.status = 0",
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


@final
class Keeping:
    """A driver whose writes keep their answer: both are there, or neither, however the transaction ended."""

    def __init__(self, inner: Driver, keeper: Keeper) -> None:
        self._inner: Final = inner
        self._keeper: Final = keeper

    @property
    def kind(self) -> str:
        """As the driver's."""
        return self._inner.kind

    async def read(self, work: Work[T]) -> Told[T]:
        """As the driver's."""
        return await self._inner.read(work)

    async def write(self, work: Work[T]) -> Told[T]:
        """As the driver's, with the answer of what the work came to."""
        keeper = self._keeper

        async def both(tx: Transaction) -> Told[T]:
            done = await work(tx)
            if not isinstance(done, Success):
                return done
            answer = keeper.answer_of(value_of(done))
            return done if await _settled(tx, answer) else Failure(_in_progress(answer.key))

        done = await self._inner.write(both)
        if isinstance(done, Success):
            keeper.on_end(is_kept=True)
        elif _is_in_progress(error_of(done)):
            keeper.on_end(is_kept=False)
        return done

    async def version(self) -> Told[str]:
        """As the driver's."""
        return await self._inner.version()

    async def close(self) -> None:
        """As the driver's."""
        await self._inner.close()


async def _settled(tx: Transaction, answer: IdempotentAnswer) -> bool:
    """Whether the claim was still there to be answered."""
    return bool(
        await tx.rows(
            "UPDATE answers SET status = ?, body = ?, at = ? WHERE owner = ? AND idempotency_key = ? "
            "AND request_digest = ? AND status = 0 RETURNING status",
            answer.status,
            answer.body,
            answer.at,
            answer.owner,
            answer.key,
            answer.request_digest,
        )
    )


def _in_progress(key: str) -> Conflict:
    return Conflict("idempotency key", key, "request-in-progress")


def _is_in_progress(error: StoreError) -> bool:
    return isinstance(error, Conflict) and error.why == "request-in-progress"


def _judged(answer: IdempotentAnswer, request_digest: bytes) -> Told[IdempotentAnswer | None]:
    if answer.request_digest != request_digest:
        return Failure(Conflict("idempotency key", answer.key, "key-of-another-request"))
    if answer.status == 0:
        return Failure(_in_progress(answer.key))
    return Success(answer)
