"""One-shot image recognition with twin (Siamese) networks.

Importing this package costs nothing: PyTorch is loaded by the parts that need it.
"""

__version__ = "0.1.0"
