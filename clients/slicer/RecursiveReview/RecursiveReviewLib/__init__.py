"""The review of proposals in 3D Slicer; of its files only `shortcuts` knows Qt."""
