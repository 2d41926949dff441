"""What the data plane knows of accounts: one value, its bytes, and what follows from it (spec/gate.md)."""
