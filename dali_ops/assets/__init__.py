"""The photographs and the teacher of the demo."""
