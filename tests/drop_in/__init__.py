"""Callers who speak the providers' own wires, to the sandbox and to us."""
