"""Many exports at once: what they are, who does them, and what became of them."""
