"""Serving: a model.onnx and its contract.json as a REST service with a page, logs, metrics and a drift view.

It imports neither scikit-learn nor pyarrow, so that a process with four models fits in 130 MB.
"""
