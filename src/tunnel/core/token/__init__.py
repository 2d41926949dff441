"""Capability tokens: constant-size wire format, rights, verification."""
