"""Predict: predictions of a finished model for one file of any size, or for many files on a cluster."""
