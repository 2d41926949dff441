"""Strict HTTP/1.1 (RFC 9110, RFC 9112): head grammar, framing, bodies and forwarding rewrites."""
