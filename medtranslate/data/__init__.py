"""Datasets: what lies in them, who can be paired with whom, and who trains, validates and tests."""
