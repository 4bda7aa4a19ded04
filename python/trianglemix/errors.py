"""What this package raises."""


class TriangleMixError(RuntimeError):
    """Something outside this package is wrong: a binding, a plan, a model file. The text says what to do."""
