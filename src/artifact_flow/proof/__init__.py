"""Proof: a lock is verified by reproduction, attested, handed over between CI jobs, and merged."""
