"""The doors: HTTP in, our words inside, HTTP out."""
