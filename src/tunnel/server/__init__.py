"""The server, composed: listeners, links, registry, supervision, drain."""
