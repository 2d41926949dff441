"""yamux, sans-I/O: header, reader, window, stream, session, keepalive."""
