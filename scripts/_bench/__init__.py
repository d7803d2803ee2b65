"""The benchmark: our path against MONAI Label's own, as ratios measured in one run on one machine."""
