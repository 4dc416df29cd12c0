"""Devices, transfers to and from them, and ONNX Runtime on the CPU."""
