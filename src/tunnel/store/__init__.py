"""The store of the control plane: one port, and SQLite and Postgres behind it with the same behaviour."""
