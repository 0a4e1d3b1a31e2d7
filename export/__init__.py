"""Keras models to ONNX files."""
