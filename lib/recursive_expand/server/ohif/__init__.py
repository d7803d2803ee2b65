"""OHIF beside a PACS: its files, the way to the PACS for it, and the proposals on the PACS's own slices."""
