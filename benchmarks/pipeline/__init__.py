"""Whole pipelines, and the callback in them."""
