"""The twin network, its objectives and its optimisers, in plain PyTorch."""
