"""Tracking: the pipeline's results, logged to MLflow and W&B, and the registry of models.

It reads finished artifacts. No stage imports it, so no result depends on a tracking server.
"""
