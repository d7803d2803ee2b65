"""DICOM CT: series and single slices as volumes, and the way back to their instances."""
