"""The photographs and the teacher of the demo.

Other rooms use `photos` and `teacher`.
"""
