"""Proof: a lock is verified by reproduction, handed over between CI jobs, and merged."""
