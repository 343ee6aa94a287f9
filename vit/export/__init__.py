"""Models on their way out: files of ONNX, of `torch.export`, and weights that other libraries load."""
