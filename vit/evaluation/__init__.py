"""How good a model is, and how faithful its maps are: metrics, plots, reports."""
