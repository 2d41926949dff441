"""The peers: programs on other people's implementations, built by `make interop`, one process for all scenarios."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

HERE: Final = Path(__file__).parents[1] / "interop" / "peers"
BUILT: Final = Path(os.environ.get("INTEROP_BUILD", Path(__file__).parents[2] / "build" / "interop"))
COMMANDS: Final[dict[str, tuple[Path, tuple[str, ...]]]] = {
    "hashicorp": (BUILT / "go" / "peer", ()),
    "rust-yamux": (BUILT / "rust" / "debug" / "peer", ()),
    "libp2p-js": (BUILT / "node" / "libp2p.mjs", ("node",)),
    "yamux-js": (BUILT / "node" / "yamux-js.mjs", ("node",)),
    "libp2p-py": (BUILT / "python" / "peer", (str(BUILT / "python" / "venv" / "bin" / "python"),)),
}
"""What must be there, and the program that runs it if it does not run by itself."""


@final
@dataclass
class Peer:
    """A running peer: it listens on `port`, and dials when asked."""

    process: "subprocess.Popen[str]"
    port: int

    def dial(self, port: int) -> None:
        """Begin a session as client."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"dial {port}\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        """It ends when its standard input does."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def started(name: str, state: Path) -> Peer | None:
    """The peer, or None when it was not built."""
    file, runner = COMMANDS[name]
    if not file.exists():
        return None
    identity = str(state / "server.pem")
    process = subprocess.Popen(  # noqa: S603 - our own programs
        [*runner, str(file), identity, identity, str(state / "ca.pem")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = process.stdout.readline().split()
    assert told[:1] == ["port"], (name, told)
    return Peer(process, int(told[1]))
