"""The conversation of agent and server on the control stream: hello, grant, endpoints, drain."""
