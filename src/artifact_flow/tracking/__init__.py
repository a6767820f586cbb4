"""Tracking: what the pipeline produced, logged to MLflow and W&B, and the registry of models that came of it.

It reads finished artifacts: no stage imports it, and it changes no file that git or DVC tracks.
"""
