"""The backend's statistics, as TRIANGLEMIX_STATS=<file> leaves them when the host ends. docs/env.md lists the keys."""

import json

from . import settings


class StatisticsFile:
    """A place for one process's statistics. `read` is None if the process wrote nothing: the backend was not there."""

    def __init__(self):
        self.path = settings.scratch_file("stats.json")

    def read(self):
        if not self.path.exists():
            return None
        return json.loads(self.path.read_text())


def nodes(statistics):
    """Attention nodes that the backend computed; 0 without a backend."""
    return sum(statistics["nodes"].values()) if statistics else 0


def line(statistics):
    """One line for the test's log."""
    if statistics is None:
        return "no statistics: the backend did not load"
    parts = [f"{name} {statistics[name]}" for name in ("nodes", "ubatches", "rows", "masked_rows", "fallbacks")
             if name in statistics]
    return "; ".join(parts).replace("'", "")
