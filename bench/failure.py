"""Why a benchmark cannot go on; the one thing that ends a run early."""

from typing import final


@final
class BenchError(Exception):
    """One sentence for the person at the terminal: what happened and what to do."""
