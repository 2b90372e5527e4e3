"""Helpers for every part: options that check themselves, numbers, lists, paths, packages, forks and torch's compiler.

Other rooms use all of it: `bfloat16`, `checked`, `forks`, `lists`, `numbers`, `packages`, `paths`, `threads` and
`uncompiled`.
"""
