"""A link to a network namespace of its own, slower by a fixed time each way: two TUN devices with a relay between them, so that it
works where the kernel has no delaying queue. Needs root.

    with DelayedLink(1, 0.001) as link:
        subprocess.run([*link.inside, "rpc-server", "-H", link.there])     # reached from here as link.there
"""

import collections
import ctypes
import fcntl
import multiprocessing
import os
import select
import signal
import struct
import subprocess
import time

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 1, 0x1000
_MTU = 65000


def _open_tun(name):
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return tun


def _enter(namespace):
    with open(f"/run/netns/{namespace}", "rb") as there:
        if _LIBC.setns(there.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


def _relay(name, namespace, seconds, ready):
    ends = [_open_tun(name)]
    _enter(namespace)
    ends.append(_open_tun(name))
    ready.set()
    on_the_way = collections.deque()  # (when it is due, to which end, packet)
    while True:
        wait = max(on_the_way[0][0] - time.monotonic(), 0) * 1000 if on_the_way else None
        readable = [end for end, _ in _poll(ends, wait)]
        now = time.monotonic()
        for end in readable:
            try:
                on_the_way.append((now + seconds, ends[1 - ends.index(end)], os.read(end, _MTU + 64)))
            except BlockingIOError:
                pass
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, end, packet = on_the_way.popleft()
            try:
                os.write(end, packet)
            except OSError:
                pass  # a full queue or a device that is still down drops it, as networks do


def _poll(ends, milliseconds):
    poll = select.poll()
    for end in ends:
        poll.register(end, select.POLLIN)
    return poll.poll(milliseconds)


class DelayedLink:
    def __init__(self, number, seconds):
        self.here, self.there = f"10.97.{number}.1", f"10.97.{number}.2"
        self._name = f"tmxdelay{number}"
        self._seconds = seconds
        self.inside = ["ip", "netns", "exec", self._name]
        self._relay = None

    def __enter__(self):
        self._ip("netns", "add", self._name)
        ready = multiprocessing.Event()
        self._relay = multiprocessing.Process(target=_relay, args=(self._name, self._name, self._seconds, ready), daemon=True)
        self._relay.start()
        if not ready.wait(10):
            self.__exit__()
            raise OSError("the relay of a delayed link does not start")
        for words, here, there in ((["ip"], self.here, self.there), ([*self.inside, "ip"], self.there, self.here)):
            subprocess.run([*words, "addr", "add", here, "peer", there, "dev", self._name], check=True)
            subprocess.run([*words, "link", "set", self._name, "mtu", str(_MTU), "up"], check=True)
        return self

    def __exit__(self, *_):
        if self._relay.pid is not None and self._relay.is_alive():
            os.kill(self._relay.pid, signal.SIGKILL)
            self._relay.join()
        self._ip("netns", "del", self._name)

    @staticmethod
    def _ip(*words):
        subprocess.run(["ip", *words], check=True)
