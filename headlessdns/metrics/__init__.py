"""Counters as plain integers in the workers, collected in the parent and shown over HTTP."""
