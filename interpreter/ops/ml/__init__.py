"""The operators of ``ai.onnx.ml``: classical models, scalers, encoders."""
