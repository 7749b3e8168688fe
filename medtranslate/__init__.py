"""Turn one 3-D medical scan into another, and prove how far the result can be trusted."""

__version__ = "0.1.0"
