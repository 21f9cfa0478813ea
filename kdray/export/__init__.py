"""Trained classifiers as bundles that run elsewhere: a Hugging Face folder, or an ONNX graph without torch."""
