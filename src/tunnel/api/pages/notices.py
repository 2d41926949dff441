"""What a page says after something was done: sentences chosen by a word in the address, never text from it."""

from collections.abc import Mapping
from typing import Final

_NOTICES: Final[Mapping[str, str]] = {
    "account-made": "The account is there. Make a key for it next, so that somebody can sign in.",
    "account-changed": "The account is changed.",
    "account-suspended": "The account is suspended: its sessions end within a second, and no new one begins.",
    "account-resumed": "The account is resumed: its agents may connect again.",
    "session-kicked": "The session was ended.",
    "session-drained": "The session takes no new visitors and ends when the last one is served.",
    "token-revoked": "The token is revoked: its sessions end within a second, those of narrowed ones too.",
    "name-reserved": "The name is reserved: nobody outside this account is given it.",
    "name-released": "The name is released: the first who asks for it gets it.",
    "member-added": "The member is added.",
    "member-changed": "The member has the new role, and signs in anew.",
    "member-removed": "The member is removed, and signed out of this account.",
    "key-revoked": "The key is revoked, and whoever signed in with it is signed out.",
}


def notice_of(word: str) -> str:
    """The sentence for this word; "" for any other."""
    return _NOTICES.get(word, "")
