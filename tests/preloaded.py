"""Imports what a run needs and composes once, so that processes forked from here start without delay."""

import cv2
import pandas
import PIL.Image
import PIL.PngImagePlugin
import pyarrow.parquet
import pycocotools.mask
import safetensors.numpy
import scipy.ndimage
import zstandard

import benchmark.running.run
import benchmark.scoring.evaluation
from tests import harness, slow_pipeline
from tests.running import test_faults

LOADED = (cv2, pandas, PIL, pyarrow, pycocotools, safetensors, scipy, zstandard, benchmark, slow_pipeline)
harness.compose(*test_faults.RUN)
