"""MONAI Label's side: datastore, tasks, strategies, routes, and what drives the rounds."""
