#!/usr/bin/env python3
"""Fails on an #include that the module picture does not allow.

    pattern <- kernels
    kernels <- select
    cpu_base <- kernels, products, select: what kernels for the CPU share, whatever they compute
    selection_rule <- plan     (which may also include attention.h, for `precision`)
    selection_rule <- select   the names of methods, without what they do: its code is in src/select
    kernels, products, select, plan <- backend   which knows no ggml
    plan <- identity           which model a file holds, and which plan is meant for it; without llama.cpp
    backend <- loader          of it, its status file; the library has no ggml in it, and no kernel
    kernels, plan, identity <- core   the shared library of all that knows no ggml, and what it tells programs
    backend <- glue            the only module that includes ggml's internal headers (ggml-*impl.h)
    pattern, identity <- runtime   the only module that includes llama.h
    runtime <- measure <- prompts
    kernels, pattern, runtime <- probe  which also includes ggml's public headers, for its graphs
    plan, identity, measure, prompts, probe <- profile
    plan, runtime, measure, prompts, profile <- planner
    kernels, select, plan, runtime <- recall   what methods keep of attention that a model really computed
    plan, runtime, measure, prompts, profile <- eval
    plan, identity, runtime, measure, prompts, profile, planner, recall, eval <- cli    (which may also include attention.h, for
                   the list of kernels)
    commit <- glue, core, cli
    loader <- cli              which tells ahead what will be served
    cuda_device <- kernels, products, backend, probe: of these, what drives an NVIDIA GPU. CUDA's own headers stay in cuda_device and
                   in folders named cuda

pattern, kernels, products, select and plan are included through include/trianglemix/ only, but for two things of kernels
of which select has the like: the texts that are compiled anew for each instruction set of a CPU (src/kernels/cpu/*-inl.h), and
NVIDIA's instructions as functions, with what they are told and which device has them (SHARED_KERNEL_PARTS). Nothing in src/
or include/ includes cli, bench or tests. bench and tests may include every module, and the test kit tests/support; tests of modules that need no ggml
(unit, kernels, products, backend, support, fuzz) include no header of ggml or llama.cpp.
"""
import argparse
import glob
import os
import re
import sys

# Owner of each public header. "base" and "control" are contracts that hold no code;
# "selection_rule" is what select shows to plan.
PUBLIC = {
    "status.h": "base",
    "rotary_layout.h": "base",
    "geometry.h": "pattern",
    "block_bitmap.h": "pattern",
    "block_lists.h": "kernels",
    "line_sums.h": "kernels",
    "cuda_line_sums.h": "kernels",
    "attention.h": "kernels",
    "selection.h": "select",
    "selection_rule.h": "selection_rule",
    "environment_plan.h": "plan",
    "head_rules.h": "plan",
    "head_patterns.h": "plan",
    "layer_texts.h": "plan",
    "plan.h": "plan",
    "backend_control.h": "control",
    "library.h": "core",
    "cuda_attention.h": "kernels",
    "cuda_feed_forward.h": "products",
    "cuda_mask_rows.h": "kernels",
    "kernel_features.h": "kernels",
    "norms.h": "products",
    "products.h": "products",
    "expert_products.h": "products",
}
# What each module may include besides itself and the standard library; "header:" names one public header.
SHARED_KERNEL_PARTS = re.compile(
    r"src/kernels/(cpu/[^/]*-inl\.h|cuda/(hopper\.h|ptx\.cuh)|cuda/sm90/(cluster|config|wgmma)\.cuh|cuda/sm90/tensor(_map)?\.h)")
ALLOWED = {
    "base": set(),
    "control": set(),
    "pattern": {"base"},
    "commit": set(),
    "cpu_base": set(),
    "cuda_device": {"base"},
    "kernels": {"base", "pattern", "cpu_base", "cuda_device"},
    "products": {"base", "cpu_base", "cuda_device"},
    "selection_rule": {"base"},
    "select": {"base", "pattern", "cpu_base", "kernels", "selection_rule"},
    "plan": {"base", "pattern", "selection_rule", "header:attention.h"},
    "identity": {"base", "pattern", "selection_rule", "plan"},
    "core": {"base", "commit", "kernels", "plan", "identity"},
    "backend": {"base", "control", "pattern", "cuda_device", "kernels", "products", "selection_rule", "select", "plan"},
    "glue": {"base", "control", "pattern", "commit", "cpu_base", "kernels", "products", "selection_rule", "select", "plan",
             "backend"},
    "loader": {"backend"},
    "runtime": {"base", "control", "pattern", "identity"},
    "measure": {"base", "runtime"},
    "prompts": {"base", "runtime", "measure"},
    "probe": {"base", "pattern", "cuda_device", "kernels", "runtime"},
    "profile": {"base", "control", "pattern", "plan", "identity", "runtime", "measure", "prompts", "probe"},
    "planner": {"base", "control", "pattern", "selection_rule", "plan", "identity", "runtime", "measure", "prompts", "probe", "profile"},
    "recall": {"base", "pattern", "kernels", "selection_rule", "select", "plan", "runtime"},
    "eval": {"base", "control", "pattern", "plan", "runtime", "measure", "prompts", "profile"},
    "cli": {"base", "control", "pattern", "commit", "loader", "plan", "identity", "runtime", "measure", "prompts", "profile", "planner",
            "recall", "eval", "header:attention.h"},
    "support": {"base", "pattern", "kernels", "products"},
    "bench": {"base", "control", "pattern", "commit", "cpu_base", "cuda_device", "kernels", "products", "selection_rule", "select",
              "plan", "identity", "core", "backend", "glue", "loader", "runtime", "measure", "prompts", "probe", "profile", "planner",
              "recall", "eval", "cli", "support"},
    "tests": {"base", "control", "pattern", "commit", "cpu_base", "cuda_device", "kernels", "products", "selection_rule", "select",
              "plan", "identity", "core", "backend", "glue", "loader", "runtime", "measure", "prompts", "probe", "profile", "planner",
              "recall", "eval", "cli", "support"},
}
HAS_PUBLIC_HEADERS = {"core", "pattern", "kernels", "products", "select", "plan"}
WITHOUT_GGML = ("tests/unit/", "tests/kernels/", "tests/products/", "tests/backend/", "tests/support/", "tests/fuzz/")
SOURCES = (".h", ".hpp", ".cpp", ".cc", ".c", ".cu", ".cuh", ".inc", ".in")  # .in: CMake makes sources of them
WITH_CUDA = re.compile(r"src/cuda_device/|src/.*/cuda/|bench/|tests/")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def owner_of(path):
    """The module that a file of the repository belongs to, None if it is none of them."""
    parts = path.split("/")
    if path.startswith("include/trianglemix/"):
        return PUBLIC.get(parts[-1])
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    if path.startswith("tests/support/"):
        return "support"
    return parts[0] if parts[0] in ("bench", "tests") else None


def resolve(name, file, root):
    """The repository's file that `name`, included by `file`, stands for, one of them where CMake fills in @a part@ of it; None
    if it is not ours."""
    pattern = re.sub(r"@\w+@", "*", name)
    for folder in (os.path.dirname(file), "include", "src", "tests/support", "."):
        path = os.path.normpath(os.path.join(folder, pattern))
        if path.startswith(".."):
            continue
        for found in sorted(glob.glob(path, root_dir=root)) if pattern != name else [path]:
            if os.path.isfile(os.path.join(root, found)):
                return found
    return None


def foreign_problem(name, file, module):
    """Why this header of CUDA, ggml or llama.cpp may not be included here, None if it may."""
    base = os.path.basename(name)
    if re.fullmatch(r"cuda(_.*)?\.h|cub\.cuh", base) and not WITH_CUDA.match(file):
        return "only src/cuda_device and folders named cuda include CUDA's headers"
    is_llama = re.fullmatch(r"llama(-.*)?\.h|common\.h|mtmd.*\.h", base) is not None
    is_internal = re.fullmatch(r"ggml-.*impl\.h|ggml-(common|quants|threading)\.h", base) is not None
    is_ggml = re.fullmatch(r"(ggml|gguf)([-_].*)?\.h", base) is not None
    if not (is_llama or is_ggml):
        return None
    if file.startswith("include/"):
        return "public headers include no header of ggml or llama.cpp"
    if file.startswith(WITHOUT_GGML):
        return f"tests in {os.path.dirname(file)} include no header of ggml or llama.cpp"
    if is_llama and module != "runtime":
        return "only src/runtime includes headers of llama.cpp"
    if is_internal and module != "glue":
        return "only src/glue includes ggml's internal headers"
    if is_ggml and module not in ("glue", "runtime", "probe", "bench", "tests"):
        return "of src/, only glue, runtime and probe include headers of ggml"
    return None


def own_problem(target, file, module):
    """Why `file` of `module` may not include the repository's file `target`, None if it may."""
    if file.startswith("include/") and not target.startswith("include/"):
        return "public headers include public headers only"
    owner = owner_of(target)
    if owner is None:
        return f"{target} belongs to no module; add it to tools/check_includes.py"
    if owner == module:
        return None
    if "header:" + os.path.basename(target) in ALLOWED[module] and target.startswith("include/"):
        return None
    if owner not in ALLOWED[module]:
        allowed = ", ".join(sorted(ALLOWED[module])) or "no module"
        return f"{module} must not include {owner}; it may include: {allowed}"
    if module == "select" and SHARED_KERNEL_PARTS.fullmatch(target):
        return None
    if owner in HAS_PUBLIC_HEADERS and target.startswith("src/") and module not in ("bench", "tests", "support"):
        return f"{owner} is included through include/trianglemix/ only"
    return None


def problems_of(file, root):
    module = owner_of(file)
    if module not in ALLOWED:
        yield f"{file}:1: belongs to no module; add it to tools/check_includes.py"
        return
    with open(os.path.join(root, file), encoding="utf-8", errors="replace") as text:
        for number, line in enumerate(text, 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            name = match.group(2)
            target = resolve(name, file, root)
            if target is not None:
                problem = own_problem(target, file, module)
            elif name.startswith("trianglemix/") or name.split("/")[0] in ALLOWED and "/" in name:
                problem = "no such file"
            else:
                problem = foreign_problem(name, file, module)
            if problem:
                yield f"{file}:{number}: {name}: {problem}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=".", help="root of the repository (default: the current folder)")
    root = parser.parse_args(arguments).root
    if not os.path.isdir(os.path.join(root, "include", "trianglemix")):
        print(f"no include/trianglemix in {os.path.abspath(root)}: run this in the repository's root", file=sys.stderr)
        return 2
    n_files = 0
    n_problems = 0
    for top in ("include", "src", "bench", "tests"):
        for folder, folders, files in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(files):
                if name.endswith(SOURCES):
                    n_files += 1
                    for problem in problems_of(os.path.relpath(os.path.join(folder, name), root), root):
                        n_problems += 1
                        print(problem)
    print(f"{n_files} files, {n_problems} includes against the module picture")
    return 1 if n_problems else 0


if __name__ == "__main__":
    sys.exit(main())
