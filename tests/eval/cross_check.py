#!/usr/bin/env python3
"""Compares the scores in tests/eval/golden with the packages that official results are computed with.

    tests/eval/cross_check.py                        every line that an installed package can score
    tests/eval/cross_check.py --random 3000 -o DIR   writes lines with random texts, scored by the packages, to DIR;
                                                     TMX_GOLDEN_FOLDER=DIR build/tests/eval/test_eval_score reads them

Optional, and no part of the tests: it needs packages from PyPI (pip install rouge fuzzywuzzy jieba, and --no-deps loom-scope, which
carries LongBench's and RULER's metrics). With python-Levenshtein beside them fuzzywuzzy gives code_sim_lev, without it
code_sim_difflib. GSM8K's and LongBench v2's patterns are spelled here as lm-evaluation-harness and LongBench v2 publish them.
"""
import argparse
import decimal
import glob
import importlib.util
import json
import os
import random
import re
import sys
import warnings

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
WORDS = ("the a an The cat Cat dog. sat, on mat; 3.5 12 7 2019 Paris paris York New-York it's x \u00e9 \u00c9 \u0416\u0416 \u0436\u0436 Stra\u00dfe \u201cthe\u201d "
         "the\u2019s a.b U.S. ... . \n \n\n \t _ foo_bar 'a' \uff21 \uff17 \u0661\u0662 of and was is were to in river rivers").split(" ")
CODE = list("abcdefgh_()=.,:[] 0123") + ["self.", "return ", "for i in ", "    ", "\n", "# note\n", "// note\n", "`"]
CLASSES = ["Manner of an action", "Reason", "Animal", "Sport", "Individual", "Number", "Other number", "number", "Date",
           "Other location", "location", "Size, area and volume", "City", "an", "act"]


def metrics_of_loom_scope():
    """The module of that package which carries LongBench's metrics."""
    base = importlib.util.find_spec("benchmarks")
    if base is None:
        raise ImportError("benchmarks (loom-scope)")
    path = os.path.join(base.submodule_search_locations[0], "General", "LongBench", "utils", "evaluation", "metrics.py")
    spec = importlib.util.spec_from_file_location("longbench_metrics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def matcher_of_loom_scope():
    base = importlib.util.find_spec("benchmarks")
    path = os.path.join(base.submodule_search_locations[0], "General", "RULER", "utils", "evaluation", "constants.py")
    spec = importlib.util.spec_from_file_location("ruler_constants", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def best(score):
    return lambda case: max([0.0] + [float(score(case["prediction"], answer, all_classes=case.get("classes")))
                                     for answer in case["answers"]])


def clean(text):
    return re.sub("[\x00-\x1f]", "\n", text.strip()).strip()


def decimal_of(text):
    text = re.sub(r"[$,]", "", text).rstrip(".")
    try:
        return format(decimal.Decimal(text).normalize() + 0, "f")
    except decimal.InvalidOperation:
        return None


def gsm8k_strict(case):
    match = re.search(r"#### (\-?[0-9\.\,]+)", case["prediction"].split("Question:")[0])
    return decimal_of(match.group(1)) if match else None


def gsm8k_flexible(case):
    found = re.findall(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", case["prediction"].split("Question:")[0])
    numbers = [decimal_of(one or other) for one, other in found]
    numbers = [number for number in numbers if number is not None]
    return numbers[-1] if numbers else None


def v2_choice(case):
    text = case["prediction"].replace("*", "")
    match = re.search(r"The correct answer is \(([A-D])\)", text) or re.search(r"The correct answer is ([A-D])", text)
    return match.group(1) if match else None


def references():
    """What each metric's score is by its package, for those that are installed."""
    found = {"gsm8k_strict": gsm8k_strict, "gsm8k_flexible": gsm8k_flexible, "v2_choice": v2_choice}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            longbench = metrics_of_loom_scope()
            import fuzzywuzzy.fuzz
        ruler = matcher_of_loom_scope()
    except ImportError as error:
        print(f"not installed: {error}", file=sys.stderr)
        return found
    rule = "code_sim_difflib" if fuzzywuzzy.fuzz.SequenceMatcher.__module__ == "difflib" else "code_sim_lev"
    found.update({
        "qa_f1": best(longbench.qa_f1_score),
        "rouge_l": best(longbench.rouge_score),
        "classification": best(longbench.classification_score),
        "count": best(longbench.count_score),
        "retrieval": best(longbench.retrieval_score),
        rule: best(longbench.code_sim_score),
        "ruler_all": lambda case: ruler.string_match_all([clean(case["prediction"])], [case["answers"]])[0],
        "ruler_part": lambda case: ruler.string_match_part([clean(case["prediction"])], [case["answers"]])[0],
    })
    return found


def words(source, least, most):
    return " ".join(source.choice(WORDS) for _ in range(source.randint(least, most)))


def code(source, most):
    return "".join(source.choice(CODE) for _ in range(source.randint(0, most)))


def random_case(metric, source):
    answers = [words(source, 0, 8) for _ in range(source.randint(1, 3))]
    if metric == "classification":
        named = source.sample(CLASSES, source.randint(0, 4))
        return {"prediction": " ".join(named), "answers": [source.choice(CLASSES)],
                "classes": source.sample(CLASSES, len(CLASSES))}
    if metric == "rouge_l":
        return {"prediction": words(source, 0, 40), "answers": [words(source, 0, 30) for _ in answers]}
    if metric == "count":
        return {"prediction": words(source, 0, 12), "answers": [source.choice(["7", "12", "3", "\u0661\u0662"])]}
    if metric == "retrieval":
        return {"prediction": words(source, 0, 12), "answers": ["Paragraph " + source.choice(["7", "12", "3"])]}
    if metric.startswith("code_sim"):
        size = source.choice([8, 30, 400])
        right = code(source, size).replace("\n", " ")
        near = "".join(c for c in right if source.random() > 0.2) + code(source, 4)
        return {"prediction": source.choice([near, code(source, size)]), "answers": [right]}
    if metric.startswith("gsm8k"):
        parts = ["#### ", "-", "12", "1,000", "3.50", ".", "$", ",", "x", " ", "is ", "18.0", "\n", "Question:", "007"]
        return {"prediction": "".join(source.choice(parts) for _ in range(source.randint(0, 9)))}
    if metric == "v2_choice":
        parts = ["The correct answer is ", "(", "A", "D", "E", ")", "**", "the correct answer is ", " "]
        return {"prediction": "".join(source.choice(parts) for _ in range(source.randint(0, 9)))}
    return {"prediction": words(source, 0, 15), "answers": [answer for answer in answers if answer] or ["cat"]}


def write_random(known, n, folder):
    os.makedirs(folder, exist_ok=True)
    for metric, score in known.items():
        source = random.Random(metric)
        with open(os.path.join(folder, metric + ".jsonl"), "w", encoding="utf-8") as file:
            for _ in range(n):
                case = {"metric": metric, **random_case(metric, source)}
                file.write(json.dumps({**case, "value": score(case)}, ensure_ascii=False) + "\n")
        print(f"{metric}: {n} random lines")


def same(a, b):
    return abs(a - b) < 1e-9 if isinstance(a, float) and isinstance(b, (int, float)) else a == b


def check_golden(known):
    n_wrong = 0
    counts = {}
    for path in sorted(glob.glob(os.path.join(GOLDEN, "*.jsonl"))):
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                case = json.loads(line)
                if case["metric"] not in known:
                    continue
                counts[case["metric"]] = counts.get(case["metric"], 0) + 1
                value = known[case["metric"]](case)
                if not same(value, case["value"]):
                    n_wrong += 1
                    print(f"{path}:{number}: {case['metric']}: committed {case['value']}, package {value}")
    for metric, n in sorted(counts.items()):
        print(f"{metric}: {n} lines agree or are named above")
    return n_wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, metavar="N", help="write N random lines a metric instead")
    parser.add_argument("-o", metavar="DIR", help="where to")
    arguments = parser.parse_args()
    known = references()
    if arguments.random:
        if not arguments.o:
            parser.error("--random needs -o DIR")
        write_random(known, arguments.random, arguments.o)
        return 0
    return 1 if check_golden(known) else 0


if __name__ == "__main__":
    sys.exit(main())
