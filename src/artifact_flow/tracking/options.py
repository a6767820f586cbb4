"""Options: the parameters that MLproject's entry point `train` offers.

The module imports nothing, so that the command line can describe them without the libraries that run them.
"""

# The parameter's name in MLproject → its key in params.yaml, its type, and the type in words.
OPTIONS: dict[str, tuple[str, type, str]] = {
    "test_size": ("data.test_size", float, "a number"),
    "random_seed": ("data.seed", int, "a whole number"),
    "max_iter": ("train.max_iter", int, "a whole number"),
    "C": ("train.C", float, "a number"),
}
