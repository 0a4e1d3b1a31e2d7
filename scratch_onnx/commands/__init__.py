"""The commands of ``scratch-onnx``, a module each; ``cli`` imports them when they are called."""
