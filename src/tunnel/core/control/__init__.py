"""What the control plane knows, as values: accounts, who may do what, credentials, names, usage and plans."""
