"""One vector per particle."""
