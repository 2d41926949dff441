"""Targets of requests as they may be shown and kept: queries hold keys, codes and tokens."""


def path_of(target: str) -> str:
    """A target without its query and fragment."""
    return target.partition("?")[0].partition("#")[0]


def shown_target(target: str) -> str:
    """A target with its query, if it has one, left out and said to be."""
    path = path_of(target)
    return path if path == target else f"{path}?..."
