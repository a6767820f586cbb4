"""Core: the code all stages share, in three layers: `base`, `table` on top of it, and `model` on top of both."""
