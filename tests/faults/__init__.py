"""Faults made on purpose: cut answers, and a process that is killed at every point of its way."""
