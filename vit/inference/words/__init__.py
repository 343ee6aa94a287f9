"""Texts as words: what a tokenizer makes of them, what a model writes after them, and the reading of both."""
