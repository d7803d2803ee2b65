"""f and g: the segmentation network and the refinement of its mask, over arrays."""
