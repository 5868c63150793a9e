"""IAP-AS: what its two stages compute beside the networks (sybeam27/IAP-ZSAS; PAKDD 2025)."""
