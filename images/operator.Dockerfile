# syntax=docker/dockerfile:1.17
# The operator: docker buildx build -f images/operator.Dockerfile -t parkade-operator:0.1.0 .
ARG RUST=rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1
ARG PYTHON=python:3.11-slim-bookworm@sha256:528257d48c1da0dcecc2e725d1ae34498d60c965f1241e39cd6a85a8859bdf84
ARG BASE=gcr.io/distroless/python3-debian12:nonroot@sha256:7d1042ce588ab97019fe95c24ffca7bc5a82ccdac572511d5e09bda4435c89c5

FROM ${PYTHON} AS python
ARG UV_VERSION=0.13.9
RUN pip install --no-cache-dir "uv==${UV_VERSION}"
WORKDIR /source
COPY pyproject.toml uv.lock ./
# Only what the lock names, by its hashes.
RUN uv export --quiet --locked --no-dev --no-emit-project --output-file /requirements.txt \
 && uv pip install --no-cache --no-deps --only-binary=:all: --require-hashes --target /site --requirements /requirements.txt

FROM ${RUST} AS kernel
COPY --from=python /usr/local /usr/local
ARG MATURIN_VERSION=1.16.0
RUN ldconfig && pip install --no-cache-dir "maturin==${MATURIN_VERSION}"
WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY kernels kernels
COPY operator/parkade operator/parkade
# Paths of this stage stay out of the binary, so that two builds of a commit are equal.
ENV RUSTFLAGS="--remap-path-prefix=/source=. --remap-path-prefix=/usr/local/cargo=cargo"
RUN maturin build --release --locked --out /wheel

FROM python AS site
COPY --from=kernel /wheel /wheel
ARG SOURCE_DATE_EPOCH=0
RUN uv pip install --no-cache --no-deps --target /site /wheel/*.whl \
 && rm -rf /site/kubernetes/aio && find /site -type d -name tests -prune -exec rm -rf {} + \
 && printf '#!/usr/bin/python3\nfrom parkade.cli import main\n\nmain()\n' > /parkade && chmod 0755 /parkade \
 && python -m compileall -q -f --invalidation-mode unchecked-hash -s /site -p /usr/lib/site /site \
 && find /site /parkade -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE}
COPY --from=site /site /usr/lib/site
COPY --from=site /parkade /usr/bin/parkade
ENV PYTHONPATH=/usr/lib/site PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT []
CMD ["parkade", "operator"]
