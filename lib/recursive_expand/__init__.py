"""Train, learn, expand, repeat: recursive training of a segmentation model from accepted proposals."""

__version__ = "0.1.0"
