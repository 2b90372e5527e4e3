"""Pictures of what mixing does, with titles and labels."""
