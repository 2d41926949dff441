"""Writes that are repeated with the same Idempotency-Key get the first answer; nothing is done twice (API-IDEM).

The answer is kept sealed under the API key that asked: minting answers with secrets, and the store keeps none in clear.
Who cannot show that key can read nothing of it (docs/adr/0073).
"""

import hashlib
import json
import re
from collections.abc import Callable, Coroutine
from typing import Final, TypeAlias, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tunnel.api.actor import Actor, request_id_of
from tunnel.api.plane import Plane
from tunnel.api.problems import IN_PROGRESS, INTERNAL, KEY_REUSED, NOT_VALID, ProblemAnswer, problem_of_store
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.credential import IdempotentAnswer
from tunnel.store.errors import Conflict, StoreError

Handler: TypeAlias = Callable[[Request], Coroutine[object, object, Response]]

REPLAYED: Final = "Idempotency-Replayed"
KEPT: Final = "Idempotency-Kept"
"""`false` when what was asked was done but could not be remembered: asked again it would be done again."""
_KEY: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_NONCE_BYTES: Final = 12
_SERVER_ERROR: Final = 500


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
        owner, digest = actor.act.key, _digest(request, await request.body())
        claimed = await self._plane.store.claim_idempotent(owner, key, digest, self._plane.clock.unix())
        if not isinstance(claimed, Success):
            return _refused(error_of(claimed), request_id)
        kept = value_of(claimed)
        if kept is not None:
            return _opened(kept, secret) or ProblemAnswer(INTERNAL, "", request_id)
        try:
            answer = await inner(request)
        except (RequestValidationError, HTTPException):  # the latter for a body that is no text, or nested too deep
            await self._forget(owner, key)
            raise
        if answer.status_code >= _SERVER_ERROR:
            await self._forget(owner, key)
            return answer
        sealed = _sealed(answer, secret, self._plane.entropy.random_bytes(_NONCE_BYTES))
        now = self._plane.clock.unix()
        remembered = await self._plane.store.remember_idempotent(
            IdempotentAnswer(owner, key, digest, answer.status_code, sealed, now)
        )
        if not isinstance(remembered, Success):
            answer.headers[KEPT] = "false"  # it was done, and its answer may hold what is shown once
        return answer

    async def _forget(self, owner: str, key: str) -> None:
        """Give the key back; where even that fails, the store does so by itself after a minute."""
        forgotten = await self._plane.store.forget_idempotent(owner, key)
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
