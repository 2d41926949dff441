"""Billing through Stripe, where an operator wants it: nothing here is imported or asked unless a key is given."""
