"""Benchmarks: the README's performance figures, each measured together with its peer in one run."""
