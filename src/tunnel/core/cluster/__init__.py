"""Several processes as one server: the conversation of a supervisor, who owns the names, with its workers."""
