"""Heads and bodies that others wrote for their own parsers, and the reviewed table of where we differ from them.

The file is not part of this repository: `TUNNEL_SHARED_VECTORS` names it, or it lies beside the repository. Many of its
cases were cut from prose: a request has no Host, or its last empty line is gone. `mended` puts back both, so that a
case is judged for what it is about and not for that.
"""

import base64
import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

HERE: Final = Path(__file__).parent
_BESIDE: Final = HERE.parents[2] / "shared" / "vectors" / "http1.jsonl"
_HOST: Final = re.compile(rb"^host[ \t]*:", re.IGNORECASE | re.MULTILINE)
ABSENT: Final = "the foreign HTTP/1.1 vectors are not here; their cases are left out (TUNNEL_SHARED_VECTORS)"


@final
@dataclass(frozen=True)
class Foreign:
    """One case: where it is from, what it is, and what its own project says to it."""

    source: str
    name: str
    kind: str
    raw: bytes
    expect: str

    @property
    def key(self) -> str:
        """Its permanent name in the table of differences."""
        return f"{self.kind}-{hashlib.sha256(self.raw).hexdigest()[:10]}"


@final
@dataclass(frozen=True)
class Difference:
    """One reviewed place where our verdict is not theirs."""

    ours: str
    reason: str


def path() -> Path:
    """Where the file is, or would be."""
    named = os.environ.get("TUNNEL_SHARED_VECTORS")
    return Path(named) if named else _BESIDE


def cases() -> list[Foreign]:
    """Every request and response, and every URL as the target of a GET; none when the file is absent."""
    if not path().is_file():
        return []
    found: list[Foreign] = []
    for line in path().read_text("utf-8").splitlines():
        entry: dict[str, str] = json.loads(line)
        raw = base64.b64decode(entry["raw"])
        kind = entry["kind"]
        if kind == "url":
            kind, raw = "request", b"GET " + raw + b" HTTP/1.1\r\n\r\n"
        found.append(Foreign(entry["src"], entry["id"], kind, raw, entry["expect"]))
    return found


def mended(case: Foreign) -> bytes:
    """The case with the Host and the end of the head that it may lack."""
    raw = case.raw.removeprefix(b"\r\n") if case.kind == "request" else case.raw
    before = case.raw[: len(case.raw) - len(raw)]
    head, blank, body = raw.partition(b"\r\n\r\n")
    if not blank:
        head = head.removesuffix(b"\r").removesuffix(b"\r\n")
    line, _, fields = head.partition(b"\r\n")
    if case.kind == "request" and not _HOST.search(fields):
        target = line.split(b" ")[1:2]
        authority = re.match(rb"https?://([^/?]+)", target[0]) if target else None
        host = authority.group(1) if authority else b"a.example"
        fields = b"Host: " + host + (b"\r\n" + fields if fields else b"")
    return before + line + b"\r\n" + fields + (b"\r\n" if fields else b"") + b"\r\n" + body


def differences(name: str) -> dict[str, Difference]:
    """A reviewed table of this folder, by key."""
    table: dict[str, list[dict[str, str]]] = tomllib.loads((HERE / name).read_text("utf-8"))
    return {entry["case"]: Difference(entry["ours"], entry["reason"]) for entry in table["difference"]}
