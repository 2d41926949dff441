"""The dashboard: pages made on the server, whole without a script and live with one (spec/dashboard.md)."""
