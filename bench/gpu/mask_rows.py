#!/usr/bin/env python3
"""How long the device takes to say how the rows of a causal mask differ, beside copying the mask to the host, which that is in place
of, and beside the least time: the mask's bytes by the speed at which the device sums up as many.

  python3 bench/gpu/mask_rows.py --library build/bin/libtmx_bench_gpu.so

In turns, in one process; what is waited for on the host is counted, too. One JSON line a size goes to --out, in place of older ones.
Exit status 1 if an answer is wrong.
"""
import argparse
import statistics
import sys
import time

import torch
from ours import Ours
from peers import rowkit

SIZES = ((512, 32768), (2048, 32768), (2048, 131072), (4096, 131072))  # rows, keys
ADDS_OWN = 2


def causal(rows, keys):
    """The last rows of a prompt of that many keys, and each row's own cell."""
    cells = torch.arange(keys - rows, keys, dtype=torch.int32)
    seen = torch.arange(keys, device="cuda")[None, :] <= cells.cuda()[:, None]
    return torch.zeros(rows, keys, dtype=torch.float16, device="cuda").masked_fill_(~seen, float("-inf")), cells


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default="build/bin/libtmx_bench_gpu.so")
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--driver", default="unknown", help="version of the driver, for the rows")
    parser.add_argument("--out", help="a file of rows (default: print only)")
    options = parser.parse_args()
    ours = Ours(options.library)
    store = rowkit.Store(options.out, "rows", "keys")
    facts = {"machine": torch.cuda.get_device_name(), "driver": options.driver, "commit": rowkit.commits.source_commit(),
             "command": rowkit.command()}
    good = True
    for rows, keys in SIZES:
        mask, cells = causal(rows, keys)
        found = torch.zeros(rows, dtype=torch.uint8)
        host = torch.empty(rows, keys, dtype=torch.float16)
        words = mask.view(torch.int32)
        ways = {"compare": lambda: ours.compare_mask_rows(mask, cells, found), "copy": lambda: host.copy_(mask),
                "read": lambda: words.max()}
        times = {way: [] for way in ways}
        for _ in range(options.repeat + 1):
            for way, call in ways.items():
                torch.cuda.synchronize()
                start = time.perf_counter()
                call()
                torch.cuda.synchronize()
                times[way].append((time.perf_counter() - start) * 1e3)
        right = bool(found[0] == 0) and bool((found[1:] == ADDS_OWN).all())
        good = good and right
        ms = {way: statistics.median(each[1:]) for way, each in times.items()}
        print(f"{rows:5} x {keys:6}: {ms['compare']:7.3f} ms; copied {ms['copy']:8.2f} ms, read by one sum {ms['read']:7.3f} ms"
              f"{'' if right else ', WRONG'}", flush=True)
        store.replace((rows, keys), [{"rows": rows, "keys": keys, "compare_ms": ms["compare"], "copy_ms": ms["copy"],
                                      "read_ms": ms["read"], "gb_per_s": mask.nbytes / ms["compare"] / 1e6, **facts,
                                      "date": rowkit.now()}])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
