"""What goes into a pipeline.

Other rooms use `mix`, `shortcuts`, `model_heatmaps` and `stored_heatmaps`, which are public, `targets` and `augment`;
and what another mode of DALI takes to mix: `bridge`, `draws`, `mixer`, `nodes` and `pixels`.
"""
