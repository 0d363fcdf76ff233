"""What every step needs when it runs: settings, object storage, tracking, tables, contracts, logs and errors."""
