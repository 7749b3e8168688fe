"""Simulated people with known anatomy, physics and change: sample data, and truth for tests."""
