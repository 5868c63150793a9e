"""Files from the network: downloads that resume and are checked, and archives."""
