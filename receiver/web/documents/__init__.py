"""What the API says of itself: operations, schemas of events, a viewer, a page for language models."""
