"""From the network's maps to one label and one score per particle."""
