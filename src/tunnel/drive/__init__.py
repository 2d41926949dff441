"""asyncio protocols, TLS contexts, sockets and timers: turns a core machine into a running thing."""
