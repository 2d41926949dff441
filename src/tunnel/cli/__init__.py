"""Arguments, environment and config file become validated settings, and those become one of the running things."""
