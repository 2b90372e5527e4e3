"""Pictures of what mixing does, with titles and labels.

Other rooms use `mixing_sheet`, `heatmap_sheet`, `preview`, `rows`, `page` and `text`.
"""
