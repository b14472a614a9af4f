"""Prove the catalog: export every architecture and task, and record which passed."""
