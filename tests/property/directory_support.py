"""Directories for properties: small ones whose tokens, accounts and names meet often."""

from typing import Final

from hypothesis import strategies as st

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.directory.directory import COUNT_MAX, AccountFacts, Directory, Quota
from tunnel.core.token.token import AccountId, EndpointKind, KeyId, NamePattern, Token, TokenId

ACCOUNTS: Final = [AccountId(bytes([number]) * 16) for number in (0, 1, 2, 255)]
TOKENS: Final = [TokenId(bytes([number]) * 16) for number in (0, 7, 8, 255)]
NAMES: Final = [Label(name) for name in ("a", "demo", "demo-2", "x" * 63, "0")]
COUNTS: Final = st.one_of(st.integers(0, 3), st.integers(0, COUNT_MAX))
SHORTS: Final = st.one_of(st.integers(0, 3), st.integers(0, (1 << 32) - 1))
QUOTAS: Final = st.builds(
    Quota, endpoints_max=SHORTS, requests_month=COUNTS, bytes_month=COUNTS, requests_second=SHORTS
)


def token_of(account: AccountId, token: TokenId = TOKENS[0]) -> Token:
    """A token of an account that may be all it likes."""
    times = (UnixSeconds(0), UnixSeconds(2_000_000_000))
    kinds = frozenset({EndpointKind.HTTP})
    return Token(KeyId(bytes(8)), token, account, NamePattern("*"), kinds, 9, 9, 9, *times)


def facts_of(account: AccountId) -> st.SearchStrategy[AccountFacts]:
    """What may be said of an account."""
    return st.builds(
        AccountFacts,
        account=st.just(account),
        is_suspended=st.booleans(),
        ttl_default=COUNTS,
        ttl_max=COUNTS,
        quota=QUOTAS,
        requests_used=COUNTS,
        bytes_used=COUNTS,
    )


DIRECTORIES: Final = st.builds(
    Directory,
    number=COUNTS,
    made_at=COUNTS.map(UnixSeconds),
    month=COUNTS.map(UnixSeconds),
    revoked=st.frozensets(st.sampled_from(TOKENS)),
    names=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(ACCOUNTS)),
    accounts=st.lists(st.sampled_from(ACCOUNTS), unique=True).flatmap(
        lambda chosen: st.tuples(*[facts_of(account) for account in chosen]).map(
            lambda every: {facts.account: facts for facts in every}
        )
    ),
)
