"""Helpers that know nothing of photos or networks."""
