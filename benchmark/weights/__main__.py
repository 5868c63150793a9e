"""``python -m benchmark.weights PIPELINE``: get the weights files of a pipeline."""

import sys

from benchmark.weights.fetch import main

if __name__ == "__main__":
    sys.exit(main())
