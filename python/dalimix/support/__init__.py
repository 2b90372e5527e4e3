"""Helpers for every part: numbers, lists, paths, packages, forks and torch's compiler.

Other rooms use all of it: `forks`, `lists`, `numbers`, `packages`, `paths` and `uncompiled`.
"""
