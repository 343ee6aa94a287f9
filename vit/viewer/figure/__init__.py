"""Figures of maps: laid out once as images, polygons and words, and then drawn as pixels or as vectors."""
