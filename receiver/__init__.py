"""Taskweir: one event stream for every async generation API."""
