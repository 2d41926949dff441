"""Writes that are repeated with the same Idempotency-Key get the first answer; nothing is done twice (API-IDEM).

The answer is kept in the transaction of the write (docs/adr/0091), sealed under the API key that asked: minting answers
with secrets, and the store keeps none in clear. Who cannot show that key can read nothing of it (docs/adr/0073).
"""

import hashlib
import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Final, TypeAlias, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from tunnel.api.actor import Actor, request_id_of
from tunnel.api.plane import Plane
from tunnel.api.problems import IN_PROGRESS, INTERNAL, KEY_REUSED, NOT_VALID, ProblemAnswer, problem_of_store
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.credential import IdempotentAnswer
from tunnel.store.errors import Conflict, StoreError
from tunnel.store.port import Store

Handler: TypeAlias = Callable[[Request], Coroutine[object, object, Response]]

REPLAYED: Final = "Idempotency-Replayed"
KEPT: Final = "Idempotency-Kept"
"""`false` when an order was given but could not be remembered: asked again it would be given again."""
_KEY: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_NONCE_BYTES: Final = 12
_SERVER_ERROR: Final = 500


@final
class Repeat:
    """The claim of one request's key, until its answer is kept: in the transaction of its write, if it has one."""

    def __init__(self, claim: IdempotentAnswer, secret: str, plane: Plane) -> None:
        self.claim: Final = claim
        self._secret: Final = secret
        self._plane: Final = plane
        self._shown: Callable[..., BaseModel] | None = None
        self._status = claim.status
        self.is_kept = False
        """The answer is in the database, with what was written."""
        self.is_lost = False
        """Somebody else has the key by now, and nothing was written."""

    def keeping(self, store: Store, shown: Callable[..., BaseModel], status: int) -> Store:
        """The store for the write whose answer `shown` and `status` make."""
        self._shown, self._status = shown, status
        return store.keeping(self)

    def answer_of(self, made: object) -> IdempotentAnswer:
        """The answer of the write, as the handler gives it after it."""
        fields = {} if self._shown is None else self._shown(made).model_dump(mode="json")
        return self.sealed(JSONResponse(fields, self._status))

    def on_end(self, *, is_kept: bool) -> None:
        """Write and answer are there, or neither."""
        self.is_kept, self.is_lost = is_kept, not is_kept

    def sealed(self, answer: Response) -> IdempotentAnswer:
        """An answer as it is remembered."""
        body = _sealed(answer, self._secret, self._plane.entropy.random_bytes(_NONCE_BYTES))
        return replace(self.claim, status=answer.status_code, body=body, at=self._plane.clock.unix())


def repeat_of(request: Request) -> Repeat | None:
    """The claim that the request goes under; None when it names no idempotency key."""
    found: object = getattr(request.state, "repeat", None)
    return found if isinstance(found, Repeat) else None


@final
class Repeats:
    """The answers that one application remembers, in its store."""

    def __init__(self, plane: Plane) -> None:
        self._plane: Final = plane

    async def answer(self, request: Request, actor: Actor, secret: str, key: str, inner: Handler) -> Response:
        """The answer of the first request with this key, or that of `inner`, which is remembered."""
        request_id = request_id_of(request)
        if _KEY.fullmatch(key) is None:
            wrong = (("header.Idempotency-Key", "1 to 128 printable ASCII characters, no spaces"),)
            return ProblemAnswer(NOT_VALID, "", request_id, wrong)
        now = self._plane.clock.unix()
        claim = IdempotentAnswer(actor.act.key, key, _digest(request, await request.body()), 0, b"", now)
        claimed = await self._plane.store.claim_idempotent(claim.owner, key, claim.request_digest, now)
        if not isinstance(claimed, Success):
            return _refused(error_of(claimed), request_id)
        kept = value_of(claimed)
        if kept is not None:
            return _opened(kept, secret) or ProblemAnswer(INTERNAL, "", request_id)
        repeat = Repeat(claim, secret, self._plane)
        request.state.repeat = repeat
        try:
            answer = await inner(request)
        except (RequestValidationError, HTTPException):  # the latter for a body that is no text, or nested too deep
            await self._forget(claim)
            raise
        if repeat.is_lost:
            return ProblemAnswer(IN_PROGRESS, "", request_id)
        if repeat.is_kept:
            return answer
        if answer.status_code >= _SERVER_ERROR:
            await self._forget(claim)
            return answer
        return await self._remembered(repeat, answer)

    async def _remembered(self, repeat: Repeat, answer: Response) -> Response:
        """A refusal, or an order to the server: nothing was written that the answer could have been kept with."""
        remembered = await self._plane.store.remember_idempotent(repeat.sealed(answer))
        if not isinstance(remembered, Success):
            answer.headers[KEPT] = "false"
        return answer

    async def _forget(self, claim: IdempotentAnswer) -> None:
        """Give the key back, unless it has its answer; where even that fails, the store does so after a minute."""
        forgotten = await self._plane.store.forget_idempotent(claim.owner, claim.key)
        if not isinstance(forgotten, Success):
            self._plane.board.note("api", "an idempotency key could not be given back", is_ready=True)


def _refused(error: StoreError, request_id: str) -> ProblemAnswer:
    if isinstance(error, Conflict):
        reused = error.why == "key-of-another-request"
        return ProblemAnswer(KEY_REUSED if reused else IN_PROGRESS, "", request_id)
    problem, detail = problem_of_store(error)
    return ProblemAnswer(problem, detail, request_id)


def _digest(request: Request, body: bytes) -> bytes:
    """Of method, target and body, each with its length in front."""
    parts = (request.method.encode(), request.url.path.encode(), request.url.query.encode(), body)
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


def _cipher(secret: str) -> ChaCha20Poly1305:
    derived = HKDF(SHA256(), 32, salt=None, info=b"tunnel/idempotent-answer/1").derive(secret.encode())
    return ChaCha20Poly1305(derived)


def _sealed(answer: Response, secret: str, nonce: bytes) -> bytes:
    fields = {"type": answer.headers.get("content-type", ""), "body": bytes(answer.body).decode("utf-8")}
    return nonce + _cipher(secret).encrypt(nonce, json.dumps(fields).encode(), None)


def _opened(kept: IdempotentAnswer, secret: str) -> Response | None:
    """The answer as it was; None when it was not sealed under this secret, which no honest store lets happen."""
    nonce, sealed = kept.body[:_NONCE_BYTES], kept.body[_NONCE_BYTES:]
    try:
        fields: dict[str, str] = json.loads(_cipher(secret).decrypt(nonce, sealed, None))
    except (InvalidTag, ValueError):
        return None
    kind = {"Content-Type": fields["type"]} if fields["type"] else {}
    return Response(fields["body"], kept.status, {**kind, REPLAYED: "true"})
