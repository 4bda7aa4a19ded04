"""Runs a program to its end, with a hard time limit; its output is shown only when something was wrong."""

import collections
import subprocess

from . import settings

Finished = collections.namedtuple("Finished", "code stdout stderr")


class ProgramFailed(Exception):
    pass


def run(arguments, env=None, timeout=300, expect_success=True):
    arguments = [str(argument) for argument in arguments]
    try:
        done = subprocess.run(arguments, env=env or settings.environment(), timeout=timeout, capture_output=True,
                              text=True, errors="replace", stdin=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired as late:
        raise ProgramFailed(f"no end after {timeout} s: {' '.join(arguments)}\n{tail(late.stderr)}") from None
    if expect_success and done.returncode != 0:
        raise ProgramFailed(f"exit status {done.returncode}: {' '.join(arguments)}\n{tail(done.stdout)}\n"
                            f"{tail(done.stderr)}")
    return Finished(done.returncode, done.stdout, done.stderr)


def tail(text, lines=40):
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return "\n".join((text or "").splitlines()[-lines:])
