"""Predict: a finished model's predictions for a file of any size, or for many on a cluster."""
