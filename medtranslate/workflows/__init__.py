"""Whole jobs: configuration and folders in, files out."""
