"""Evaluation: accuracy and calibration of models, faithfulness of attribution maps, plots and reports."""
