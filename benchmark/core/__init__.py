"""What every room rests on: samples, errors, settings, files written whole, where things lie."""
