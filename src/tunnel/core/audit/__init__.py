"""The audit trail as values: entries in a hash chain, signed checkpoints, an export that can be verified offline."""
