"""Maps of images and texts as files: overlays, pages, a table, a sheet and a gallery."""
