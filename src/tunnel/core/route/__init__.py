"""Who answers for a host: the route table is a value and its leases carry epochs."""
