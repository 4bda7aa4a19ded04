"""One stock llama-server as a child process: start, wait until ready, ask, stop."""

import concurrent.futures
import ctypes
import http.client
import json
import signal
import socket
import subprocess
import time

from . import settings
from .answer import Answer
from .process import tail
from .statistics import StatisticsFile

START_SECONDS = 120
ANSWER_SECONDS = 300
STOP_SECONDS = 60


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def end_with_parent():
    """In the child: a test that is killed for its time limit leaves no server behind."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class ServerFailed(Exception):
    pass


def free_port():
    """Of this machine; another process may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """
    with Server(["-fa", "on"], env=settings.with_backend()) as server:
        answer = server.complete(tokens, n_predict=32)
    print(server.statistics)        # after the block; None if no backend wrote any

    Leaving the block sends SIGTERM and fails if the server does not end by itself, cleanly.
    """

    def __init__(self, arguments=(), env=None, folder=settings.LLAMA_BIN, context=4096, model=None):
        self._stats = StatisticsFile()
        env = dict(env or settings.environment())
        if any(name in env for name in ("GGML_BACKEND_PATH", "LD_PRELOAD")):
            env["TRIANGLEMIX_STATS"] = str(self._stats.path)
        self._env = env
        self._program = settings.program("llama-server", folder)
        self._arguments = ["-m", model or settings.small_sharp_model(), "-t", settings.THREADS, "-c", context, "--offline",
                           "--no-ui", *arguments]
        self._log = settings.scratch_file("server.log")
        self._child = None
        self.port = None
        self.statistics = None
        self.exit_code = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self._kill()
            if issubclass(kind, Exception):
                print(f"--- the server's log ends so:\n{self.log_tail()}", flush=True)
            return
        self._stop()

    def _start(self):
        for _ in range(3):  # its port may be taken by then
            self.port = free_port()
            command = [self._program, *self._arguments, "--host", "127.0.0.1", "--port", self.port]
            with self._log.open("wb") as log:
                self._child = subprocess.Popen([str(part) for part in command], env=self._env,
                                               stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                               preexec_fn=end_with_parent)
            if self._wait_until_ready():
                return
            if "couldn't bind" not in self.log():
                break
        raise ServerFailed(f"{' '.join(map(str, command))}\nended with status {self._child.poll()} before it was "
                           f"ready:\n{self.log_tail()}")

    def _wait_until_ready(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self._child.poll() is not None:
                return False
            try:
                if self._request("GET", "/health", None, 5)[0] == 200:
                    return True
            except OSError:
                pass
            time.sleep(0.05)
        raise ServerFailed(f"not ready after {START_SECONDS} s:\n{self.log_tail()}")

    def _stop(self):
        self._child.send_signal(signal.SIGTERM)
        try:
            self.exit_code = self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            raise ServerFailed(f"still there {STOP_SECONDS} s after SIGTERM:\n{self.log_tail()}") from None
        if self.exit_code != 0:
            raise ServerFailed(f"exit status {self.exit_code} after SIGTERM:\n{self.log_tail()}")
        self.statistics = self._stats.read()

    def _kill(self):
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()

    def log(self):
        return self._log.read_text(errors="replace")

    def log_tail(self):
        return tail(self.log())

    def _request(self, method, path, body, timeout):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ask(self, path, body, timeout=ANSWER_SECONDS):
        """POST, the parsed answer. Anything but status 200 fails."""
        status, text = self._request("POST", path, body, timeout)
        if status != 200:
            raise ServerFailed(f"{path}: status {status}: {text[:500]!r}")
        return json.loads(text)

    def tokenize(self, text):
        return self.ask("/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"]

    def complete(self, tokens, n_predict=1, n_probs=500, reuse=False, slot=-1):
        """Greedy continuation of a prompt given as token ids. `reuse` lets the server use what it has cached."""
        # An end token would come without its probabilities, so it is passed over.
        reply = self.ask("/completion", {"prompt": tokens, "n_predict": n_predict, "n_probs": n_probs, "temperature": 0,
                                         "cache_prompt": reuse, "id_slot": slot, "return_tokens": True,
                                         "ignore_eos": True})
        return Answer.from_reply(reply)

    def complete_all(self, prompts, **options):
        """All prompts at the same moment, each by a user of its own; the answers in the order of the prompts."""
        with concurrent.futures.ThreadPoolExecutor(len(prompts)) as users:
            asked = [users.submit(self.complete, tokens, **options) for tokens in prompts]
            return [one.result() for one in asked]
