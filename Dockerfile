# The benchmark with the packages of requirements.lock. The entry point is make:
#
#   docker build -t fm-defect-bench .
#   docker run --rm -v "$PWD/data:/data" -v "$PWD/results:/results" fm-defect-bench bench DATASET=mtd PIPELINE=resnet_mlp
#   docker build -t fm-defect-bench:cuda --build-arg DEVICE=cuda .    # then: docker run --gpus all …
#
# Both images hold the same packages, 6 GB: the lock's PyTorch is the CUDA build, which computes on a CPU as well but
# cannot be imported without its CUDA libraries. These are among the packages, so that a GPU needs its driver alone.
ARG DEVICE=cpu

FROM python:3.11-slim AS packages
# opencv loads libGL and GLib; git names the commit in results.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git libgl1 libglib2.0-0 make \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory /app \
    && mkdir -m 1777 /data /results /cache
WORKDIR /app
# The packages are a layer of their own, which stays until the lock changes.
COPY Makefile pyproject.toml requirements.lock ./
COPY benchmark/__init__.py benchmark/
RUN touch README.md LICENSE && make setup && rm -rf /root/.cache
COPY . .
RUN touch pyproject.toml && make setup && rm -rf /root/.cache
# Any user may run it: what is written goes to these three, and caches of libraries to /tmp.
ENV DATA_ROOT=/data RESULTS_ROOT=/results BENCH_CACHE=/cache BENCH_WEIGHTS=/cache/weights HOME=/tmp
ENTRYPOINT ["make", "--no-print-directory"]
CMD ["help"]

FROM packages AS cpu
# No GPU, even where NVIDIA's runtime is the default of the host.
ENV NVIDIA_VISIBLE_DEVICES=void

FROM packages AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN .venv/bin/python -c "import torch; assert torch.version.cuda, 'the lock has no CUDA build for this platform'"

# hadolint ignore=DL3006
FROM ${DEVICE}
