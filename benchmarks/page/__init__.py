"""What the page of results is made of."""
