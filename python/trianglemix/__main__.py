"""python -m trianglemix path | serve | info"""
import argparse
import importlib.metadata
import importlib.util
import os
import sys

from trianglemix import bindings
from trianglemix.errors import TriangleMixError
from trianglemix.library import BACKEND, PRELOAD, STARTER, choose_plan, library_info

EXAMPLES = """
GGML_BACKEND_PATH=$(python -m trianglemix path) llama-server -m model.gguf -fa on
LD_PRELOAD=$(python -m trianglemix path --preload) llama-server -m model.gguf -fa on     (backends linked in)
python -m trianglemix serve -- llama-server -m model.gguf -c 32768 -ub 2048 -b 2048     (finds out which; serve --help)
python -m trianglemix info -m model.gguf
"""


def show_info(model, plan):
    info = library_info()
    print(f"trianglemix   {info['version']} ({info['commit']}), {'with' if info['cuda'] else 'without'} CUDA kernels")
    print(f"library       {BACKEND}")
    print(f"CPU kernels   {', '.join(info['kernels']) or 'none that runs here'}")
    for binding in bindings.KNOWN:
        here = importlib.util.find_spec(binding.module) is not None
        version = importlib.metadata.version(binding.package) if here else "not installed"
        print(f"binding       {binding.package} {version}")
    print(f"presets       {', '.join(info['presets'])}")
    if model is not None or plan != "auto":
        chosen = choose_plan(model, plan)
        print(f"plan          {chosen['layers']} ({chosen['source']})")
        if chosen["note"]:
            print(f"              {chosen['note']}")


def main():
    parser = argparse.ArgumentParser(prog="python -m trianglemix", epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    path = commands.add_parser("path", help="the file that GGML_BACKEND_PATH is to name")
    path.add_argument("--preload", action="store_true", help="the one for LD_PRELOAD instead")
    commands.add_parser("serve", help="start an unmodified llama.cpp server with the backend", add_help=False)
    info = commands.add_parser("info", help="versions, kernels, presets, which plan a model gets")
    info.add_argument("-m", "--model", help="GGUF file; only its header is read")
    info.add_argument("--plan", default="auto", help="FILE or preset:NAME (default: what the model gets unasked)")
    if sys.argv[1:2] == ["serve"]:
        os.execv(STARTER, ["trianglemix", *sys.argv[1:]])
    arguments = parser.parse_args()
    if arguments.command == "path":
        print(PRELOAD if arguments.preload else BACKEND)
    else:
        show_info(arguments.model, arguments.plan)


if __name__ == "__main__":
    try:
        main()
    except TriangleMixError as error:
        sys.exit(f"trianglemix: {error}")
