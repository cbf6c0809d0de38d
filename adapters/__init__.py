"""Translators, one file per kind of provider; none of them does I/O."""
