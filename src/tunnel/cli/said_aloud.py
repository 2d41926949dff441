"""Secrets on the command line, which every user of the machine can read: refused, with where to put them instead."""

from argparse import Action, ArgumentParser, Namespace
from typing import Final, final

from typing_extensions import override

_SAID_ALOUD: Final = (
    "a token on the command line can be read by every user of this machine; give it by --token-file F, "
    "by --token-file - (standard input), or in the environment as TUNNEL_TOKEN"
)
_SIGN_IN_SAID_ALOUD: Final = (
    "a password on the command line can be read by every user of this machine; give it by --basic-auth-file F"
)


@final
class RefuseToken(Action):
    """What `--token VALUE` does; the value is not repeated, as standard error is often kept."""

    @override
    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: object, option_string: str | None = None
    ) -> None:
        parser.error(_SAID_ALOUD)


@final
class RefusePassword(Action):
    """Likewise for `--basic-auth USER:PASSWORD`."""

    @override
    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: object, option_string: str | None = None
    ) -> None:
        parser.error(_SIGN_IN_SAID_ALOUD)
