"""What a verb does to every input: predict, embed, attend."""
