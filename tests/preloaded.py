"""Imports what a run needs and composes once, so that processes forked from here start without delay."""

import gc

import alembic.command
import cv2
import mlflow.store.tracking.sqlalchemy_store
import mlflow.tracking.client
import pandas
import PIL.Image
import PIL.PngImagePlugin
import pyarrow.parquet
import pycocotools.mask
import safetensors.numpy
import scipy.ndimage
import scipy.special
import sklearn.model_selection
import torch
import zstandard

import benchmark.cli.commands
import benchmark.cli.run
import benchmark.running.run
import benchmark.scoring.evaluation
from benchmark import tracking
from tests import harness, mlflow_database, slow_pipeline
from tests.running import test_faults

LOADED = (
    alembic,
    cv2,
    mlflow,
    pandas,
    PIL,
    pyarrow,
    pycocotools,
    safetensors,
    scipy,
    sklearn,
    torch,
    zstandard,
    benchmark,
)
LOADED += (slow_pipeline,)
tracking.make_whole = mlflow_database.copied
harness.compose(*test_faults.RUN)
gc.freeze()  # every process forked from here leaves it alone
