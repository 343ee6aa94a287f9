"""Towers as folders that transformers loads."""
