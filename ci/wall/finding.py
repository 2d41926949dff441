"""What a check of the wall reports: one place in one file, and what is wrong there."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One violation; `file` is relative to the root of the checked tree."""

    file: str
    line: int
    message: str

    def text(self) -> str:
        """The usual `file:line: message`, which editors can follow."""
        return f"{self.file}:{self.line}: {self.message}"
