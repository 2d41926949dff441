"""The routes of the HTTP API, a noun a file; each says which scope it needs."""
