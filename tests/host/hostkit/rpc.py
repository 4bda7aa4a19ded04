"""Stock llama.cpp's rpc-server as a child process, with one of our devices in it or with none."""

import json
import pathlib
import signal
import socket
import subprocess
import time

from . import settings
from .process import tail
from .server import ServerFailed, end_with_parent, free_port

START_SECONDS = 60
_LISTENING = "0A"


class RpcServer:
    """
    with RpcServer(["--device", "TriangleMixCPU"], env=settings.with_cpu_proxy()) as remote:
        Server(["--rpc", remote.endpoint, "-ngl", "99"])
        print(remote.statistics())   # as they are now; None if no backend is there
    """

    def __init__(self, arguments=(), env=None, host="127.0.0.1", prefix=(), folder=settings.LLAMA_BIN):
        self._socket = settings.scratch_file("stats.sock")
        self._env = {**(env or settings.environment()), "TRIANGLEMIX_STATS_SOCKET": str(self._socket)}
        self._host = host
        self._prefix = [str(word) for word in prefix]
        self._program = settings.program("ggml-rpc-server", folder)
        self._arguments = [str(argument) for argument in arguments]
        self._log = settings.scratch_file("rpc-server.log")
        self._child = None
        self.endpoint = None

    def __enter__(self):
        self.start(free_port())
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and issubclass(kind, Exception):
            print(f"--- the rpc-server's log ends so:\n{tail(self.log())}", flush=True)
        self.kill(signal.SIGTERM)

    def start(self, port):
        self.endpoint = f"{self._host}:{port}"
        command = [*self._prefix, self._program, "-H", self._host, "-p", str(port), "-t", str(settings.THREADS),
                   *self._arguments]
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(command, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                           preexec_fn=end_with_parent)
        end = time.monotonic() + START_SECONDS
        while not self._listens(port):
            if self._child.poll() is not None or time.monotonic() > end:
                self.kill()
                raise ServerFailed(f"{' '.join(command)}\ndoes not serve:\n{tail(self.log())}")
            time.sleep(0.05)

    def _listens(self, port):
        """Looked up where the server's network is, which may not be ours."""
        try:
            sockets = pathlib.Path(f"/proc/{self._child.pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            return False
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == _LISTENING for line in sockets)

    def kill(self, how=signal.SIGKILL):
        """It ends by signals only. The exit status."""
        if self._child.poll() is None:
            self._child.send_signal(how)
        return self._child.wait(30)

    def restart(self):
        self._log.write_text("")
        self.start(int(self.endpoint.rpartition(":")[2]))

    def log(self):
        return self._log.read_text(errors="replace")

    def statistics(self):
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(10)
            try:
                asked.connect(str(self._socket))
            except OSError:
                return None
            with asked.makefile() as answer:
                return json.load(answer)
