"""What tests of `trianglemix profile` share: the small model, short prompts, running the program, looking at its pages."""

import html.parser
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host"))
from hostkit import settings  # noqa: E402

PROGRAM = sys.argv[1]
MODEL = settings.small_model()
N_LAYER = settings.N_LAYER

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TRIANGLEMIX_")}
ENVIRONMENT["OMP_WAIT_POLICY"] = "passive"  # test machines are shared

# Short prompts and a small triangle: every section has pairs, and nothing takes long.
SMALL = ["-m", MODEL, "-t", "2", "--sink", "4", "--window", "24", "--last", "16", "--tokens", "2"]


def command(folder, *arguments):
    return [PROGRAM, "profile", *SMALL, "-o", os.path.join(folder, "plan.json"), *arguments]


def run(*arguments, **environment):
    return subprocess.run(arguments, env=ENVIRONMENT | environment, capture_output=True, text=True, timeout=300)


def text_of(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


class Case(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def check(self, done, code, *texts):
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for text in texts:
            self.assertIn(text, done.stdout + done.stderr)


class GpuCase(Case):
    """The program takes the library that lies beside it: here the one whose GPU is none (tests/ggml/fake/fake_gpu.h), which a test
    names behind its program."""

    def setUp(self):
        super().setUp()
        folder = os.path.join(self.folder, "bin")
        os.mkdir(folder)
        self.program = shutil.copy(PROGRAM, folder)
        shutil.copy(sys.argv[2], os.path.join(folder, "libggml-trianglemix.so"))


class Pages(html.parser.HTMLParser):
    """Counts drawings, notes tags left open and anything fetched from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.n_svg, self.addresses = [], 0, []

    def handle_starttag(self, tag, attrs):
        self.n_svg += tag == "svg"
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()
