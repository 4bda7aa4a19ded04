"""Answers a prompt in Python with the package, as its users do, and prints what happened as JSON.

    answer.py BINDING MODEL [PLAN [CHANGED-PLAN]]

Run by test_package.py. Without PLAN the package is not loaded: the binding's own answer. With CHANGED-PLAN the context's plan is
changed, and the prompt computed again.
"""
import importlib
import json
import logging
import sys


def prompt(n_sentences):
    return " ".join(f"In the year {1000 + i} town {i * 7 % 113} had {i * i % 977} houses." for i in range(n_sentences))


def answer(llm, binding, text):
    """Eight tokens, greedily, and the prompt's length."""
    if binding == "llama_cpp":
        llm.reset()
        done = llm.create_completion(text, max_tokens=8, temperature=0)
        return done["choices"][0]["text"], done["usage"]["prompt_tokens"]
    return llm.generate(text, max_tokens=8, temperature=0), len(llm.tokenize(text))


def main():
    binding, model, *plans = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    result = {}
    module = importlib.import_module(binding)
    if plans:
        import trianglemix

        backend = trianglemix.load(plan=plans[0])
    options = {"n_ctx": 2048, "n_batch": 1024, "n_threads": 2, "verbose": False}
    if not plans:
        options |= {"flash_attn": True} if binding == "llama_cpp" else {"flash_attn_type": 1}
    llm = module.Llama(model, **options)
    text = prompt(50)
    result["answer"], result["n_tokens"] = answer(llm, binding, text)
    if plans:
        context = backend.context(llm)
        result["statistics"] = context.statistics()
        result["all"] = backend.statistics()
        result["plan"] = context.plan["source"]
        context.reset_statistics()
        if len(plans) > 1:
            context.set_plan(plans[1])
            result["changed_answer"], _ = answer(llm, binding, text)
            result["changed"] = context.statistics()
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
