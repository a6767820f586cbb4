"""Base: errors, files, locks, parameters, the contract and determinism; independent of tables and models."""
