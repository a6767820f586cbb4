"""Proof: what a lock says is reproduced, handed over and merged, and each is checked."""
