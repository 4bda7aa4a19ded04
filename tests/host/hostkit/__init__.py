"""What the tests and benchmarks that drive unmodified llama.cpp programs share. Python 3.11's standard library only."""
