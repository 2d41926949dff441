"""The PROXY protocol, versions 1 and 2: who a connection is really from (spec/proxy.md)."""
