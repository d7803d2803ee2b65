"""A PACS over DICOMweb: connection, listing, pixels, label objects."""
