"""The page of `trianglemix serve --metrics`, and what it must say."""

import re
import urllib.request


def read(port):
    """A page of metrics of this machine, as text."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
        return reply.read().decode()


def families(page):
    """Names that have a TYPE line."""
    return {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE ")}


def values(page):
    """Name, with its labels but for the process's, to value."""
    lines = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
    return {re.sub(r'pid="\d+",?', "", name).replace("{}", ""): float(value) for name, _, value in lines}


def expected(statistics):
    """What the backend's statistics mean for such values."""
    wanted = {}
    for kind, pairs in statistics["kind_pairs"].items():
        wanted[f'trianglemix_attention_pairs_total{{kind="{kind}",state="computed"}}'] = pairs["kept"] + pairs["masked"]
        wanted[f'trianglemix_attention_pairs_total{{kind="{kind}",state="skipped"}}'] = pairs["skipped"]
    wanted |= {f'trianglemix_attention_nodes_total{{kind="{kind}"}}': n for kind, n in statistics["nodes"].items()}
    return wanted | {f'trianglemix_fallbacks_total{{reason="{reason}"}}': n for reason, n in statistics["fallbacks"].items()}
