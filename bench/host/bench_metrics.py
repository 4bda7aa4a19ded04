#!/usr/bin/env python3
"""What `serve --metrics` costs a busy server, and whether its numbers are right.

    cmake --build build
    bench/host/bench_metrics.py                          8 users, 5 minutes
    bench/host/bench_metrics.py --seconds 60 --out /tmp/metrics.jsonl      a short trial

Two servers of the embedded model, one with metrics and one without, take turns: in each turn 8 users at once ask one of them
the same prompts of mixed lengths. The page is read every 5 seconds of its server's turns, three times as often as is usual. At the end, with the server idle, the page is compared with
the server's own /metrics (prompt tokens), with the answers' own timings (times to first token), and with the statistics that
the backend writes when the server ends (pairs, nodes, fallbacks). The slowdown is the median of the ratios of two turns that
follow each other, with the standard error of their mean beside it; what the metrics can cost at all is the time that their
threads were running, which a noisy machine does not change: of `serve` itself and of the thread in the server that answers
it, as a share of the server's. Rows go to docs/results/metrics.jsonl.

Exit code 1 if a number differs, the share is above 1%, or the slowdown is above it by more than twice its error. Nothing else should run on the machine.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
sys.path.insert(0, str(ROOT / "tests/host"))

import rowkit  # noqa: E402  (found by the path above)
from hostkit import metrics, settings  # noqa: E402
from hostkit.server import free_port  # noqa: E402

DOCUMENT = pathlib.Path("/usr/share/common-licenses/GPL-3")
USERS = 8
LENGTHS = (120, 200, 300, 400, 500, 600, 700, 900)  # words of a user's prompt
N_PREDICT = 8
SCRAPE_SECONDS = 5
MOST_SLOWDOWN = 0.01
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(path):
    """User and system time of a process or thread, by its stat file; 0 if it has ended."""
    try:
        fields = path.read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


class Served:
    """A server started by `trianglemix serve`."""

    def __init__(self, scratch, name, options):
        self.port, self.stats = free_port(), scratch / f"{name}.json"
        command = [settings.LIBRARY_DIR / "trianglemix", "serve", *options, "--stats", self.stats, "--",
                   settings.program("llama-server"), "-m", settings.model(), "-c", "16384", "-np", str(USERS),
                   "--kv-unified", "--metrics", "--offline", "--port", str(self.port)]
        env = os.environ | {"OMP_WAIT_POLICY": "passive"}
        self.log = (scratch / f"{name}.log").open("wb")
        self.process = subprocess.Popen([str(word) for word in command], env=env, stdout=self.log, stderr=self.log)
        self.turns, self.prompt_ms, self.tokens = [], [], 0
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=30).close()
                break
            except OSError:
                time.sleep(0.25)
        self.server_pid = int(pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def ask(self, prompt):
        body = json.dumps({"prompt": prompt, "n_predict": N_PREDICT, "temperature": 0, "cache_prompt": False, "ignore_eos": True})
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/completion", body.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as reply:
            return json.load(reply)["timings"]

    def turn(self, prompts):
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(USERS) as users:
            for timings in users.map(self.ask, prompts):
                self.prompt_ms.append(timings["prompt_ms"])
                self.tokens += timings["prompt_n"]
        self.turns.append(time.monotonic() - begin)

    def statistics_thread(self):
        """Time that the thread which answers for the backend has taken."""
        return sum(cpu_seconds(task / "stat") for task in pathlib.Path(f"/proc/{self.server_pid}/task").iterdir()
                   if (task / "comm").read_text().strip() == "tmx-statistics")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.close()
        return json.loads(self.stats.read_text())


class Scraper:
    """Reads the page while it is told to; counts, and checks that no counter ever falls."""

    def __init__(self, port):
        self.port, self.n, self.fell, self.last = port, 0, [], {}
        self.due = SCRAPE_SECONDS  # of turns
        self.reading, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.wait(0.1):
            self.due -= 0.1 if self.reading.is_set() else 0
            if self.due <= 0:
                now = metrics.values(metrics.read(self.port))
                self.fell += [name for name, value in self.last.items() if now.get(name, 0) < value]
                self.last, self.n, self.due = now, self.n + 1, SCRAPE_SECONDS

    def stop(self):
        self.over.set()
        self.thread.join()


def differences(served, port, written):
    """What on the page is not what others say of the same."""
    for _ in range(100):  # the log comes behind the answers
        page = metrics.values(metrics.read(port))
        if page["trianglemix_time_to_first_token_seconds_count"] == len(served.prompt_ms):
            break
        time.sleep(0.1)
    own = metrics.values(metrics.read(served.port))
    expected = {"trianglemix_time_to_first_token_seconds_count": len(served.prompt_ms),
                "trianglemix_prompt_tokens_total": own["llamacpp:prompt_tokens_total"]} | metrics.expected(written())
    found = [f"{name}: {page.get(name)} instead of {value}" for name, value in expected.items() if page.get(name) != value]
    if served.tokens != page["trianglemix_prompt_tokens_total"]:
        found.append(f"prompt tokens: {page['trianglemix_prompt_tokens_total']} instead of the answers' {served.tokens}")
    seconds = sum(served.prompt_ms) / 1e3
    if abs(page["trianglemix_time_to_first_token_seconds_sum"] - seconds) > 1e-5 * len(served.prompt_ms) + 1e-9 * seconds:
        found.append(f"times: {page['trianglemix_time_to_first_token_seconds_sum']} s instead of the answers' {seconds} s")
    return found, page


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300, help="how long the users ask (default: 300)")
    parser.add_argument("--out", default=ROOT / "docs/results/metrics.jsonl", help="file of rows (default: docs/results/metrics.jsonl)")
    options = parser.parse_args()
    store = rowkit.Store(options.out, "case")
    words = DOCUMENT.read_text(encoding="utf-8").split()
    prompts = [" ".join(words[100 * user : 100 * user + length]) for user, length in enumerate(LENGTHS)]
    with tempfile.TemporaryDirectory() as folder:
        scratch, port = pathlib.Path(folder), free_port()
        with_metrics = Served(scratch, "with", ["--metrics", str(port)])
        without = Served(scratch, "without", [])
        for served in (with_metrics, without):  # what is slow once
            served.turn(prompts)
            served.turns.clear()
        scraper = Scraper(port)
        begin = time.monotonic()
        while len(without.turns) < 2 or time.monotonic() - begin < options.seconds:
            for served in (with_metrics, without) if len(without.turns) % 2 else (without, with_metrics):
                if served is with_metrics:
                    scraper.reading.set()
                served.turn(prompts)
                scraper.reading.clear()
        scraper.stop()
        serve = cpu_seconds(pathlib.Path(f"/proc/{with_metrics.process.pid}/stat"))
        thread = with_metrics.statistics_thread()
        server = cpu_seconds(pathlib.Path(f"/proc/{with_metrics.server_pid}/stat"))
        found, page = differences(with_metrics, port, with_metrics.end)
        without.end()
    found += [f"{name} fell between two scrapes" for name in scraper.fell]
    ratios = [ours / other - 1 for ours, other in zip(with_metrics.turns, without.turns)]
    slowdown = statistics.median(ratios)
    error = statistics.stdev(ratios) / len(ratios) ** 0.5
    row = {"case": "8 users", "turns": len(without.turns), "prompts": len(with_metrics.prompt_ms), "scrapes": scraper.n,
           "with_s": statistics.median(with_metrics.turns), "without_s": statistics.median(without.turns),
           "slowdown": slowdown, "slowdown_error": error,
           "cost_share": (serve + thread) / server, "serve_cpu_s": serve, "thread_cpu_s": thread, "server_cpu_s": server,
           "values_compared": len(page), **rowkit.origin()}
    print(json.dumps(row, indent=1))
    if found:
        sys.exit("error: " + "; ".join(found))
    if row["cost_share"] > MOST_SLOWDOWN or slowdown - 2 * error > MOST_SLOWDOWN:
        sys.exit(f"error: metrics take {row['cost_share']:.2%} of the server's time and slow it down by {slowdown:.2%}, more than "
                 f"{MOST_SLOWDOWN:.0%}")
    store.replace("8 users", [row])


if __name__ == "__main__":
    try:
        main()
    except rowkit.Refused as refused:
        sys.exit(f"error: {refused}")
