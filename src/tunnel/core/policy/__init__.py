"""Who may come in, how often and how fast: lists, token buckets, counters and sign-ins (spec/policy.md)."""
