"""Evaluation with several labels per example, or none: metrics, plots, the contents of a report."""
