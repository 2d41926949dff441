"""The control process: HTTP API and dashboard, and the services between the database and the data plane."""
