"""Run an artifact. Needs its manifest and its graph, neither catalog nor exporter."""
