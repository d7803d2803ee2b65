"""MONAI Label's routes that our users need, answered by us: same paths, parameters and answers, without their doors."""
