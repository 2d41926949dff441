"""Event values become log lines and counters."""
