"""Portable: the model as ONNX, and its 8-bit twin."""
