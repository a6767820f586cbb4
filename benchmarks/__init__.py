"""Benchmarks: what the README claims of time, each figure measured beside its peer in one run."""
