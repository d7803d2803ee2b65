"""The paper's experiment: a simulated expert, metrics, tables and figures, repeated over presets and seeds."""
