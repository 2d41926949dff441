"""The agent, composed: uplink, reconnect, local connections."""
