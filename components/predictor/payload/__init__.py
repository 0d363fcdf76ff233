"""The payload log: inputs and predictions as Parquet in the object store."""
