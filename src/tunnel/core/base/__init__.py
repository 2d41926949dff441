"""What every other core folder stands on: outcomes, identifiers, limits, total forms of partial functions."""
