"""Base: errors, files, locks, parameters, the contract and determinism, which know neither tables nor models."""
