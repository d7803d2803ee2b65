"""Archives: where scans and label objects live."""
