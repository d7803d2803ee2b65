"""A MONAI Label app as its documentation would have one write it; what ours is held against."""
