"""Image towers as folders that timm loads."""
