"""Circles in a graph of calls."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from graphlib import CycleError, TopologicalSorter


def cycles(calls: Mapping[str, AbstractSet[str]]) -> list[list[str]]:
    """One circle after the other, each cut open to find the next; names without calls of their own are ends."""
    graph = {name: {called for called in calls[name] if called in calls} for name in sorted(calls)}
    found: list[list[str]] = []
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as cause:
            # graphlib gives the circle against the direction of the calls, its first node repeated at the end.
            circle = list(reversed(cause.args[1]))[:-1]
            start = circle.index(min(circle))
            circle = circle[start:] + circle[:start]
            found.append(circle)
            graph[circle[0]].discard(circle[1 % len(circle)])
        else:
            return found
