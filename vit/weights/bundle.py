"""The model bundle, under the name of its former module; `vit/bundle.py` holds it."""

from vit.bundle import Bundle, is_bundle, read_bundle, read_description, write_bundle, write_description

__all__ = ["Bundle", "is_bundle", "read_bundle", "read_description", "write_bundle", "write_description"]
