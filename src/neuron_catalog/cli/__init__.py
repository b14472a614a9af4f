"""The command line. The only place that prints, and the only one that catches every error."""
