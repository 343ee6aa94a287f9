"""From a model and data to figures: what is measured, by the model's own head or by a probe."""
