"""What happened in the data plane, as records that outlive it until a store has them (spec/journal.md)."""
