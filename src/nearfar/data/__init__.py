"""Records in: datasets on disk, and the readers that fill them."""
