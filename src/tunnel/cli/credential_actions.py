"""What the commands about API keys and tokens do to the store, and what they answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tunnel.cli.account_actions import account_for, names_by_id
from tunnel.cli.answers import NEVER, Answer, Json, Refusal, all_of, day_text, listed, refused, refused_by, refused_for
from tunnel.cli.answers import told as answered
from tunnel.cli.commands import KeyCommand, MintCommand, TokenCommand
from tunnel.cli.exits import ExitCode
from tunnel.cli.problems import BadArgument
from tunnel.cli.tokens import asked_of, sentences_of, token_in_file, write_secret
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import hex_bytes
from tunnel.core.control.account import Account
from tunnel.core.control.act import Act
from tunnel.core.control.credential import KeyRecord, TokenRecord
from tunnel.core.control.keys import NEW_KEY_BYTES, new_key
from tunnel.core.control.roles import Role, Scope, role_of, scope_of, scopes_of
from tunnel.core.control.ttl import TTL_FORMS, ttl_of
from tunnel.core.token.codec import decode_token
from tunnel.core.token.explain import describe as describe_token
from tunnel.core.token.explain import explain, explain_raw
from tunnel.core.token.moments import duration_text
from tunnel.core.token.token import ENDPOINT_KINDS, TOKEN_ID_BYTES, AccountId, Token, TokenId
from tunnel.drive.clock import SystemEntropy
from tunnel.server import state
from tunnel.store.errors import NotFound, StoreUnavailable
from tunnel.store.minting import Minted, describe, mint_token, revoke
from tunnel.store.port import Store

_KEYS: Final = ("KEY", "ACCOUNT", "ROLE", "STATE", "EXPIRES", "LABEL")
_TOKENS: Final = ("TOKEN", "ACCOUNT", "NAMES", "STATE", "LEFT", "LABEL")
_ONCE: Final = "this is the only time that the key is shown"


@final
@dataclass(frozen=True, slots=True)
class Bench:
    """What a command works on: the store, who asks, and when."""

    store: Store
    act: Act
    now: UnixSeconds


async def mint(command: MintCommand, bench: Bench) -> Outcome[tuple[Minted, bool], Refusal]:
    """A token, recorded; and whether the signing key was made for it."""
    asked = asked_of(command)
    if not isinstance(asked, Success):
        return refused(sentences_of(error_of(asked)))
    account = await account_for(command.account, bench.store, bench.act, bench.now)
    if not isinstance(account, Success):
        return account
    key = state.signing_key(Path(command.place.state))
    if not isinstance(key, Success):
        return refused(f"--state: {state.describe(error_of(key))}")
    made = await mint_token(
        bench.store,
        value_of(key).private,
        SystemEntropy(),
        value_of(account).account,
        value_of(asked),
        bench.act,
        bench.now,
        is_sealed=command.is_sealed,
    )
    if isinstance(made, Success):
        return Success((value_of(made), value_of(key).is_new))
    code = ExitCode.NETWORK if isinstance(error_of(made), StoreUnavailable) else ExitCode.USAGE
    return Failure(Refusal(describe(error_of(made)), code))


async def mint_answer(command: MintCommand, bench: Bench) -> Outcome[Answer, Refusal]:
    """What `tunnel token mint` answers: the token alone, and beside it what it allows."""
    done = await mint(command, bench)
    if not isinstance(done, Success):
        return done
    minted, key_is_new = value_of(done)
    aside = [f"made a new token signing key in {command.place.state}"] if key_is_new else []
    shown = _handed_over(minted.text, command.out, "token")
    if not isinstance(shown, Success):
        return shown
    lines, said = value_of(shown)
    words = explain(minted.token, bench.now)[:-1]
    return Success(Answer(lines, _minted_json(minted, command.out), (*said, *aside, *words)))


async def token_answer(command: TokenCommand, bench: Bench) -> Outcome[Answer, Refusal]:
    """What `tunnel token list`, `show` and `revoke` answer."""
    if command.verb == "list":
        return await _tokens(command, bench)
    if (command.token is None) == (command.token_file is None):
        return refused("give the token's ID, or a file that holds it with --token-file")
    if command.token_file is not None:
        return await _of_file(command.verb, command.token_file, bench)
    token_id = hex_bytes(command.token or "")
    if token_id is None or len(token_id) != TOKEN_ID_BYTES:
        return refused_for(BadArgument("ID", command.token or "", "the ID of a token: 32 hexadecimal digits"))
    if command.verb == "show":
        return await _shown(TokenId(token_id), bench)
    done = await bench.store.revoke_token(TokenId(token_id), bench.act, bench.now)
    if not isinstance(done, Success) and isinstance(error_of(done), NotFound):
        return refused("no such token was minted here; one that was narrowed offline is revoked by --token-file")
    return answered(done, _token_json, "revoked, with all that was narrowed from it")


async def key_answer(command: KeyCommand, bench: Bench) -> Outcome[Answer, Refusal]:
    """What `tunnel key` answers."""
    if command.verb == "revoke":
        return answered(await bench.store.revoke_key(command.key, bench.act, bench.now), _key_json, "revoked")
    account: Account | None = None
    if command.account is not None:
        found = await account_for(command.account, bench.store, bench.act, bench.now)
        if not isinstance(found, Success):
            return found
        account = value_of(found)
    if command.verb == "list":
        return await _keys(account, bench)
    return await _new_key(command, account, bench)


async def _new_key(command: KeyCommand, account: Account | None, bench: Bench) -> Outcome[Answer, Refusal]:
    role = role_of(command.role) or Role.AUDITOR
    most = frozenset(Scope) if account is None else scopes_of(role)
    scopes = frozenset(scope for scope in map(scope_of, command.scopes) if scope is not None) or most
    if not scopes <= most:
        beyond = ", ".join(sorted(scope.value for scope in scopes - most))
        return refused(f"--scope: {beyond} is more than the role {role.value} may do")
    life = None if command.ttl is None else ttl_of(command.ttl)
    if command.ttl is not None and life is None:
        return refused_for(BadArgument("--ttl", command.ttl, TTL_FORMS))
    made = new_key(SystemEntropy().random_bytes(NEW_KEY_BYTES))
    record = KeyRecord(
        key=made.key,
        account=None if account is None else account.account,
        label=command.label,
        role=role,
        scopes=scopes,
        secret_hash=made.secret_hash,
        created=bench.now,
        expires=None if life is None else UnixSeconds(bench.now + life),
        revoked=None,
        last_used=None,
    )
    kept = await bench.store.mint_key(record, bench.act, bench.now)
    if not isinstance(kept, Success):
        return refused_by(error_of(kept))
    shown = _handed_over(made.text, command.out, "key")
    if not isinstance(shown, Success):
        return shown
    lines, said = value_of(shown)
    whose = "the operator" if account is None else f"account {account.name}"
    data = {**_key_json(record), **({} if command.out else {"text": made.text})}
    return Success(Answer(lines, data, (*said, f"key {made.key} for {whose}, {role.value}; {_ONCE}")))


async def _keys(account: Account | None, bench: Bench) -> Outcome[Answer, Refusal]:
    called = await names_by_id(bench.store)
    if not isinstance(called, Success):
        return refused_by(error_of(called))
    names = value_of(called)

    def row(key: KeyRecord) -> Sequence[str]:
        whose = "(operator)" if key.account is None else names.get(key.account, key.account.hex())
        standing = _standing(key.revoked, key.expires, bench.now)
        return (key.key, whose, key.role.value, standing, day_text(key.expires), key.label or NEVER)

    read = await all_of(lambda page: bench.store.keys(None if account is None else account.account, page))
    return listed("keys", _KEYS, read, row, _key_json)


async def _tokens(command: TokenCommand, bench: Bench) -> Outcome[Answer, Refusal]:
    whose: AccountId | None = None
    if command.account is not None:
        found = await account_for(command.account, bench.store, bench.act, bench.now)
        if not isinstance(found, Success):
            return found
        whose = value_of(found).account
    called = await names_by_id(bench.store)
    if not isinstance(called, Success):
        return refused_by(error_of(called))
    names = value_of(called)

    def row(token: TokenRecord) -> Sequence[str]:
        account = names.get(token.account, token.account.hex())
        standing = _standing(token.revoked, token.expiry, bench.now)
        return (token.token.hex(), account, token.pattern, standing, _left(token, bench.now), token.label or NEVER)

    read = await all_of(lambda page: bench.store.tokens(whose, page))
    return listed("tokens", _TOKENS, read, row, _token_json)


async def _shown(token_id: TokenId, bench: Bench) -> Outcome[Answer, Refusal]:
    found = await bench.store.token(token_id)
    if not isinstance(found, Success):
        return refused_by(error_of(found))
    record = value_of(found)
    lines = (
        f"token {record.token.hex()} of account {record.account.hex()}",
        f"{_kinds(record)} under {record.pattern}, until {day_text(record.expiry)} UTC",
        f"at once: {record.names_max} names, {record.sessions_max} links, {record.streams_max} streams",
        f"minted by {record.minted_by} at {day_text(record.created)} UTC{_labelled(record)}",
        f"state: {_standing(record.revoked, record.expiry, bench.now)}",
    )
    return Success(Answer(lines, _token_json(record)))


async def _of_file(verb: str, file: str, bench: Bench) -> Outcome[Answer, Refusal]:
    """The token that a file holds: shown as it says itself, or revoked whether it was minted or narrowed."""
    raw = token_in_file(file, "--token-file")
    if not isinstance(raw, Success):
        return refused_for(error_of(raw))
    decoded, words = decode_token(value_of(raw)), explain_raw(value_of(raw), bench.now)
    if not isinstance(decoded, Success) or not isinstance(words, Success):
        return refused(f"--token-file: {describe_token(error_of(decoded))}" if isinstance(decoded, Failure) else "")
    token = value_of(decoded)
    if verb == "show":
        found = await bench.store.token(token.token_id)
        known = f"state: {_state_of(found, bench.now)}" if isinstance(found, Success) else "not minted here"
        return Success(Answer((*value_of(words)[:-1], known), {"token": token.token_id.hex(), "says": value_of(words)}))
    done = await revoke(bench.store, token, bench.act, bench.now)
    if not isinstance(done, Success):
        return refused_by(error_of(done))
    sentence = f"token {token.token_id.hex()} is revoked, with all that was narrowed from it"
    return Success(Answer((sentence,), {"token": token.token_id.hex(), "account": token.account.hex()}))


def _state_of(found: Success[TokenRecord], now: UnixSeconds) -> str:
    return _standing(value_of(found).revoked, value_of(found).expiry, now)


def _handed_over(text: str, out: str | None, what: str) -> Outcome[tuple[tuple[str, ...], tuple[str, ...]], Refusal]:
    """The secret on standard output, or in a file that only its owner reads; and what to say beside it."""
    if out is None:
        return Success(((text,), ()))
    written = write_secret(Path(out), text)
    if not isinstance(written, Success):
        return refused_for(error_of(written))
    return Success(((), (f"{what} written to {out}",)))


def _standing(revoked: UnixSeconds | None, expiry: UnixSeconds | None, now: UnixSeconds) -> str:
    if revoked is not None:
        return "revoked"
    return "expired" if expiry is not None and expiry <= now else "valid"


def _left(record: TokenRecord, now: UnixSeconds) -> str:
    return NEVER if record.revoked is not None else duration_text(record.expiry - now)


def _kinds(record: TokenRecord | Token) -> str:
    return ", ".join(kind.name for kind in ENDPOINT_KINDS if kind in record.kinds)


def _labelled(record: TokenRecord) -> str:
    return f": {record.label}" if record.label else ""


def _minted_json(minted: Minted, out: str | None) -> Json:
    secret: dict[str, Json] = {} if out else {"text": minted.text}
    return {**_token_json(minted.record), **secret}


def _token_json(record: TokenRecord) -> dict[str, Json]:
    return {
        "token": record.token.hex(),
        "account": record.account.hex(),
        "label": record.label,
        "pattern": record.pattern,
        "kinds": [kind.name.lower() for kind in ENDPOINT_KINDS if kind in record.kinds],
        "names_max": record.names_max,
        "streams_max": record.streams_max,
        "sessions_max": record.sessions_max,
        "not_before": record.not_before,
        "expiry": record.expiry,
        "minted_by": record.minted_by,
        "created": record.created,
        "revoked": record.revoked,
    }


def _key_json(record: KeyRecord) -> dict[str, Json]:
    return {
        "key": record.key,
        "account": None if record.account is None else record.account.hex(),
        "label": record.label,
        "role": record.role.value,
        "scopes": sorted(scope.value for scope in record.scopes),
        "created": record.created,
        "expires": record.expires,
        "revoked": record.revoked,
        "last_used": record.last_used,
    }
