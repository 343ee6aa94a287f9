"""Files of rows: delimited text, JSON and parquet; their columns and labels."""
