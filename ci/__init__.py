"""Checks that are not tests: the wall, traceability, deliberate defects, fuzzing."""
