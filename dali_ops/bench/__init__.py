"""What ``dalimix bench`` times.

Other rooms use `compare`, `environment`, `plot`, `random_heatmaps` and `throughput`.
"""
