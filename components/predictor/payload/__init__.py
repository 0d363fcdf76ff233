"""The payload log: what was asked and answered, as Parquet in the object store."""
