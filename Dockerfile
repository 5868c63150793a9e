# The benchmark with the packages of requirements.lock. The entry point is make:
#
#   docker build -t fm-defect-bench .
#   docker run --rm -v "$PWD/data:/data" -v "$PWD/results:/results" fm-defect-bench bench DATASET=mtd PIPELINE=resnet_mlp
#   docker build -t fm-defect-bench:cuda --build-arg GPUS=all .    # then: docker run --gpus all …
#
# Both images hold the same packages, 6 GB: the lock's PyTorch is the CUDA build, which computes on a CPU as well but
# cannot be imported without its CUDA libraries. These are among the packages, so that a GPU needs its driver alone.
FROM python:3.11-slim

# opencv loads libGL and GLib; git names the commit in results.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git libgl1 libglib2.0-0 make \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory /app \
    && mkdir -m 1777 /data /results /cache
WORKDIR /app

# The packages are a layer of their own, which stays until the lock, pyproject.toml or the Makefile changes.
COPY Makefile pyproject.toml requirements.lock ./
COPY benchmark/__init__.py benchmark/
RUN touch README.md LICENSE && make setup && rm -rf /root/.cache
COPY . .
RUN .venv/bin/python -m pip install --quiet --no-deps --no-index --no-build-isolation -e . && touch .venv/.ready

# Which GPUs a container sees, unless it is started with others: `void` is none, even where NVIDIA's runtime is the
# host's default. The check fails where the lock has no CUDA build (other processors than x86-64 may lack one).
ARG GPUS=void
RUN test "${GPUS}" = void || .venv/bin/python -c "import torch; assert torch.version.cuda, torch.__version__"
ENV NVIDIA_VISIBLE_DEVICES=${GPUS} NVIDIA_DRIVER_CAPABILITIES=compute,utility

# Any user may run it: what is written goes to these three, and what libraries keep for themselves to /tmp.
ENV DATA_ROOT=/data RESULTS_ROOT=/results BENCH_CACHE=/cache BENCH_WEIGHTS=/cache/weights HOME=/tmp
ENTRYPOINT ["make", "--no-print-directory"]
CMD ["help"]
