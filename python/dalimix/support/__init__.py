"""Helpers for every part: options, numbers, lists, paths, packages, forks, threads, the GIL and torch's compiler.

Other rooms use all of it: `bfloat16`, `checked`, `forks`, `lists`, `numbers`, `packages`, `paths`, `switch_interval`,
`threads` and `uncompiled`.
"""
