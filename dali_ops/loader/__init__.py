"""The loader: from a source to batches that are ready to train on.

Other rooms use `loader`, `image_folder`, `transforms`, `runtime` and `outputs`, which are public; the parts of its
pipelines, `heatmap_sources` and `pipelines`; and what is in `reading`.
"""
