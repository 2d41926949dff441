"""What the state directory keeps of the audit trail, apart from the database (ADR 0058).

    DIR/audit.key         0600  Ed25519, PKCS #8 PEM: signs checkpoints and exports; made at first use
    DIR/audit.pub         0644  its public key in hexadecimal, to be given to whoever verifies
    DIR/audit.checkpoint  0600  the last checkpoint that was signed here, as it stands in an export

Whoever can write the database can cut its end off together with the checkpoints there. Not with this one.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias, final

from tunnel.core.audit.checkpoint import Checkpoint, checkpoint_holds
from tunnel.core.audit.lines import line_bytes, line_of
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.drive import files, keys
from tunnel.drive.keys import Damaged, KeyFileError

KEY: Final = "audit.key"
PUBLIC_KEY: Final = "audit.pub"
CHECKPOINT: Final = "audit.checkpoint"


@final
@dataclass(frozen=True, slots=True)
class AuditKey:
    """The key that signs for this state directory."""

    private: bytes = field(repr=False)
    public: bytes


WitnessError: TypeAlias = KeyFileError


def audit_key(directory: Path) -> Outcome[AuditKey, WitnessError]:
    """The key of the directory, which has to be there; key and public file are made when missing."""
    kept = keys.kept_key(directory / KEY)
    if not isinstance(kept, Success):
        return kept
    private = value_of(kept).private
    public = public_key_of(private) or b""
    told = files.made_once(directory / PUBLIC_KEY, public.hex().encode() + b"\n", files.PUBLIC)
    if not isinstance(told, Success):
        return told
    if value_of(told).strip() != public.hex().encode():
        return Failure(Damaged(directory / PUBLIC_KEY, f"it is not the public key of {KEY}"))
    return Success(AuditKey(private, public))


def kept_checkpoint(directory: Path) -> Outcome[Checkpoint | None, WitnessError]:
    """The last checkpoint that was signed here, or None when there is none yet."""
    path = directory / CHECKPOINT
    held = files.read_private(path)
    if not isinstance(held, Success):
        return held
    data = value_of(held)
    if data is None:
        return Success(None)
    line = line_of(data)
    if isinstance(line, Checkpoint) and checkpoint_holds(line):
        return Success(line)
    return Failure(Damaged(path, "it is not a checkpoint of the audit trail"))


def keep_checkpoint(directory: Path, checkpoint: Checkpoint) -> Outcome[None, WitnessError]:
    """Success when the checkpoint is on the disk, in the place of the one before."""
    return files.replace(directory / CHECKPOINT, line_bytes(checkpoint), files.PRIVATE)


def describe(error: WitnessError) -> str:
    """What was seen, what was expected, what to do."""
    return keys.describe(error)
