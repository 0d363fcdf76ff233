"""Raw data in, checked and split tables out."""
