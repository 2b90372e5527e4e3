"""The command line ``dalimix``.

Other rooms use `main`.
"""
