# syntax=docker/dockerfile:1
# Images of Glimpse: gateway, exporter, triton, test (docs/deploy.md). Every package comes from a lock with hashes.
ARG PYTHON_VERSION=3.11
# A release pins the base: @sha256:... of the image that it was tested with.
ARG BASE_DIGEST=
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:25.08-py3

FROM python:${PYTHON_VERSION}-slim-bookworm${BASE_DIGEST} AS base
ENV PYTHONDONTWRITEBYTECODE=1


FROM base AS builder
ENV PIP_CACHE_DIR=/var/cache/pip \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_INPUT=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# The environments have no pip: that of the base installs into them.
RUN python -m venv --without-pip /opt/tools && python -m venv --without-pip /opt/venv
COPY requirements/build.txt requirements/
RUN --mount=type=cache,target=/var/cache/pip \
    python -m pip --python /opt/tools/bin/python install --require-hashes --only-binary :all: -r requirements/build.txt


FROM builder AS gateway-builder
# Only `strip` is of use, and nothing of it is in the image, so Debian's present version will do.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/gateway.txt requirements/
RUN --mount=type=cache,target=/var/cache/pip \
    python -m pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: --no-compile \
      -r requirements/gateway.txt
COPY LICENSE README.md pyproject.toml ./
COPY stubs stubs
COPY client client
COPY server server
# The workshop is not in this image, so neither is its command; nor are the tests and the symbols for debuggers that packages
# bring (what wheels carry in *.libs was moved about by auditwheel, and does not survive another tool). Unchecked: no source
# is looked at again, and compiled files are the same in every build. What the service never loads stays uncompiled.
RUN python -m pip --python /opt/tools/bin/python wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && python -m pip --python /opt/venv/bin/python install --no-deps --no-index --no-compile dist/*.whl \
    && rm /opt/venv/bin/glimpse-export \
    && find /opt/venv/lib -type d -name tests -prune -exec rm -rf {} + \
    && find /opt/venv/lib -type f -name '*.so*' -not -path '*.libs/*' -exec strip --strip-unneeded {} + \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      -x '/(fontTools|f2py|pygments/lexers|onnxruntime/(transformers|tools|quantization))/' /opt/venv/lib


FROM base AS models
COPY model_repository /app/model_repository
# What a network is trained on from; nothing that serves reads it.
RUN find /app/model_repository -name weights.pth -delete


FROM base AS runtime
ARG VERSION
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"
# What runs here installs nothing.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python*/ensurepip /usr/local/lib/python*/site-packages/* \
    && groupadd --gid 10001 glimpse \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin glimpse
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM



FROM builder AS exporter-builder
# The page of wheels from which the lock was made: another one and another lock make an image for CUDA (docs/deploy.md).
ARG TORCH_WHEELS=https://download.pytorch.org/whl/cpu/torch/
COPY requirements/exporter.txt requirements/
RUN --mount=type=cache,target=/var/cache/pip \
    python -m pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: --no-compile \
      --find-links "${TORCH_WHEELS}" -r requirements/exporter.txt
COPY LICENSE README.md pyproject.toml ./
COPY stubs stubs
COPY client client
COPY server server
COPY export export
RUN python -m pip --python /opt/tools/bin/python wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && python -m pip --python /opt/venv/bin/python install --no-deps --no-index --no-compile dist/*.whl


FROM builder AS test
ARG TORCH_WHEELS=https://download.pytorch.org/whl/cpu/torch/
# The tests build nothing with these, so Debian's present versions will do.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl git make openssl \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/test.txt requirements/
RUN --mount=type=cache,target=/var/cache/pip \
    python -m pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: --no-compile \
      --find-links "${TORCH_WHEELS}" -r requirements/test.txt -r requirements/build.txt
# The checkout, tests included, is mounted over this when they run.
WORKDIR /src
COPY LICENSE README.md pyproject.toml ./
COPY stubs stubs
COPY client client
COPY server server
COPY export export
RUN python -m pip --python /opt/venv/bin/python install --no-deps --no-build-isolation --editable .
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp
USER 10001:10001
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "pytest"]


# checkov:skip=CKV_DOCKER_7:the tag stands in TRITON_IMAGE
FROM ${TRITON_IMAGE} AS triton
ARG VERSION
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="glimpse-triton" \
      org.opencontainers.image.description="NVIDIA's Triton with the models of Glimpse, on processor or GPU" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=models /app/model_repository /app/model_repository
# Freed memory is overwritten (docs/privacy.md); ONNX Runtime reports to nobody.
ENV GLIBC_TUNABLES=glibc.malloc.perturb=165 \
    ORT_DISABLE_TELEMETRY=1
# Not 1000, the user of NVIDIA's image: it owns the server's own files there, and could change them.
USER 10001:10001
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
  CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=5)"]
# Why these options: docs/triton.md. NVIDIA's entry point stays.
CMD ["tritonserver", "--model-repository=/app/model_repository", "--model-control-mode=none", \
     "--disable-auto-complete-config", "--exit-on-error=false", "--strict-readiness=false", \
     "--exit-timeout-secs=20"]


FROM runtime AS exporter
LABEL org.opencontainers.image.title="glimpse-exporter" \
      org.opencontainers.image.description="Trains, imports, verifies and publishes the models of Glimpse"
COPY --from=exporter-builder /opt/venv /opt/venv
# The model repository is mounted here.
WORKDIR /work
HEALTHCHECK NONE
ENTRYPOINT ["glimpse-export"]
CMD ["--help"]


# Last, so that it is what a build without a target makes.
FROM runtime AS gateway
LABEL org.opencontainers.image.title="glimpse-gateway" \
      org.opencontainers.image.description="Micro-expression recognition as a service: REST, WebSocket and gRPC"
COPY --from=gateway-builder /opt/venv /opt/venv
COPY --from=models /app/model_repository /app/model_repository
COPY samples /app/samples
ENV GLIMPSE_SERVER__HOST=0.0.0.0 \
    GLIMPSE_SERVER__SAMPLES=/app/samples \
    GLIMPSE_BACKEND__REPOSITORY=/app/model_repository
EXPOSE 8080 8081
# Whether it lives: Swarm replaces what is unhealthy, and to do so while a backend is away would help nobody.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["glimpse", "health"]
ENTRYPOINT ["glimpse"]
CMD ["serve"]
