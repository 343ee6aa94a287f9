"""The 15 common corruptions of images at five severities (Hendrycks & Dietterich 2019)."""
