"""Helpers for every part: numbers, lists, paths, packages, forks and torch's compiler."""
