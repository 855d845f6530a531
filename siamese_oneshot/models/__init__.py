"""The Siamese network, its objectives and its optimizers, in plain PyTorch."""
