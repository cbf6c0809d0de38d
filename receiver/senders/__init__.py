"""The last step of a delivery, one file per kind of destination."""
