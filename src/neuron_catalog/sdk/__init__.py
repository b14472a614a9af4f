"""Documented facts of the AWS Neuron SDK as data, and what reads them; nothing needs the SDK, or torch."""
