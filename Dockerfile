# syntax=docker/dockerfile:1
# AugSweep with the versions of uv.lock, for GPUs or, a tenth of the size, for CPUs:
#
#   docker build --tag augsweep .
#   docker build --tag augsweep:cpu --build-arg DEVICE=cpu .
#
#   docker run --rm --gpus all --shm-size 8g --volume "$PWD:/work" --user "$(id -u):$(id -g)" augsweep sweep msr
#
# Sweeps, MLflow's database and the user's own modules lie in /work. The image also serves as the nodes of a Ray cluster.

FROM python:3.13-slim-bookworm AS build
WORKDIR /source
RUN pip install --no-cache-dir uv==0.13.9
COPY pyproject.toml uv.lock ./
# Everything but the packages themselves, in three parts: torch, CUDA's libraries, the rest.
RUN uv export --frozen --no-dev --no-emit-project --no-hashes --no-annotate --no-header --output-file all.txt \
    && grep -E '^(torch|torchvision)==' all.txt > torch.txt \
    && grep -E '^(cuda|nvidia|triton)' all.txt > cuda.txt \
    && grep -vE '^(torch==|torchvision==|cuda|nvidia|triton)' all.txt > rest.txt
COPY . .
RUN uv build --wheel --out-dir /wheel

FROM python:3.13-slim-bookworm
ARG DEVICE=cuda
# torch.compile needs a compiler, and KubeRay's probes need wget.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ wget \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /source/torch.txt /source/cuda.txt /source/rest.txt /requirements/
# Layers of their own: torch changes least often. On PyPI, torch for Linux is built for CUDA; its own index has builds for CPUs.
RUN case "$DEVICE" in \
        cuda) pip install --no-cache-dir --requirement /requirements/torch.txt --requirement /requirements/cuda.txt ;; \
        cpu) pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
                --requirement /requirements/torch.txt ;; \
        *) echo "DEVICE=$DEVICE must be cuda or cpu" >&2; exit 2 ;; \
    esac
# hadolint ignore=DL3059
RUN pip install --no-cache-dir --requirement /requirements/rest.txt
COPY --from=build /wheel /wheel
# hadolint ignore=DL3059
RUN pip install --no-cache-dir --no-deps /wheel/*.whl && useradd --create-home --uid 1000 augsweep
USER 1000
WORKDIR /work
ENTRYPOINT ["augsweep"]
CMD ["--help"]
