"""Pages for a browser that need nothing but themselves: one file each, without any network."""
