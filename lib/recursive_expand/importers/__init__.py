"""Importers: other people's folders become studies."""
