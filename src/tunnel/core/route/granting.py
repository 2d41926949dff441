"""Whether an agent gets the name it asked for: one decision, from one verified token and the table as it stands."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.ids import Instant, Label, SessionId, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.directory.decisions import may_expose
from tunnel.core.directory.directory import UNTOLD, Directory
from tunnel.core.directory.errors import NameReserved, NotGranted, TooManyEndpoints
from tunnel.core.directory.errors import describe as describe_refusal
from tunnel.core.link.messages import DenialCode, Expose
from tunnel.core.route.errors import denial_code
from tunnel.core.route.errors import describe as describe_claim
from tunnel.core.route.name import describe as describe_name
from tunnel.core.route.name import label_of, random_label
from tunnel.core.route.table import Claim, Claimed, RouteTable
from tunnel.core.token.explain import describe as describe_token
from tunnel.core.token.rights import permits
from tunnel.core.token.token import EndpointKind, Token

LABEL_CHARS_MAX: Final = 63
"""RFC 1035 section 2.3.4."""
_RANDOM_CHARS: Final = 12
"""Sixty bits: nobody guesses it, and a person can still read it out."""


@final
@dataclass(frozen=True, slots=True)
class Granting:
    """Who asks: the session, its verified token, the moment, in both kinds of time, and what is known of accounts."""

    table: RouteTable
    token: Token
    session: SessionId
    peer: str
    unix: UnixSeconds
    now: Instant
    directory: Directory = UNTOLD


@final
@dataclass(frozen=True, slots=True)
class Denial:
    """The answer is no."""

    code: DenialCode
    detail: str


def expose(asked: Expose, who: Granting, entropy: bytes) -> Outcome[Claimed, Denial]:
    """The claimed lease, or why not. A name that was asked for is granted or denied, never replaced by another."""
    if asked.policy.sign_ins and asked.kind is not EndpointKind.HTTP:
        return Failure(Denial(DenialCode.NOT_PERMITTED, f"visitors of {asked.kind.name} endpoints cannot sign in"))
    named = _name_for(asked, who.token, entropy)
    if not isinstance(named, Success):
        return named
    name = value_of(named)
    allowed = permits(who.token, asked.kind, name, who.unix)
    if not isinstance(allowed, Success):
        return Failure(Denial(DenialCode.NOT_PERMITTED, describe_token(error_of(allowed))))
    account = who.token.account
    told = may_expose(who.directory, who.token, name, who.table.endpoints_besides(name, account))
    if not isinstance(told, Success):
        return Failure(Denial(_denial_code_of(error_of(told)), describe_refusal(error_of(told))))
    if who.directory.names.get(name) == account:
        who.table.forget_offline(name, account)  # its own by reservation, whoever had it lately
    claimed = who.table.claim(claim_of(asked, name, who.session, who.token, who.peer), who.now)
    if not isinstance(claimed, Success):
        return Failure(Denial(denial_code(error_of(claimed)), describe_claim(error_of(claimed))))
    return claimed


def _denial_code_of(error: NotGranted) -> DenialCode:
    if isinstance(error, NameReserved):
        return DenialCode.NAME_TAKEN
    return DenialCode.TOO_MANY if isinstance(error, TooManyEndpoints) else DenialCode.NOT_PERMITTED


def claim_of(asked: Expose, name: Label, session: SessionId, token: Token, peer: str) -> Claim:
    """The claim that an agent's wish stands for, once its name is decided."""
    return Claim(
        name,
        session,
        asked.endpoint,
        asked.kind,
        token,
        asked.host_header,
        peer,
        asked.share,
        asked.policy,
        asked.ttl_seconds,
    )


def _name_for(asked: Expose, token: Token, entropy: bytes) -> Outcome[Label, Denial]:
    """The name asked for, or one that fits the token's pattern when none was."""
    if asked.name:
        label = label_of(asked.name)
        if not isinstance(label, Success):
            return Failure(Denial(DenialCode.BAD_NAME, describe_name(error_of(label))))
        return label
    room = LABEL_CHARS_MAX + 1 - len(token.pattern)
    fitted = label_of(token.pattern.replace("*", random_label(entropy)[: min(room, _RANDOM_CHARS)]))
    if not isinstance(fitted, Success):
        return Failure(Denial(DenialCode.BAD_NAME, describe_name(error_of(fitted))))
    return fitted
