"""`python -m neuron_catalog`."""

from neuron_catalog.cli.main import run

run()
