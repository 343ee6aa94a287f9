"""Attribution: from a model and its inputs to a map of what counted.

Models are known by the interface `vit.core.tower.Tower` alone.
"""
