"""The mathematics of SAA, SAA+ and AnomalyVLM, each step a pure function."""
