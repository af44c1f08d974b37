# syntax=docker/dockerfile:1.17
# parkade-router: docker buildx build -f images/router.Dockerfile -t parkade-router:0.1.0 .
ARG RUST=rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1
ARG BASE=gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f

FROM ${RUST} AS build
WORKDIR /source
COPY kernels ./
# Paths of this stage stay out of the binary, so that two builds of a commit are equal.
ENV RUSTFLAGS="--remap-path-prefix=/source=. --remap-path-prefix=/usr/local/cargo=cargo -C strip=symbols"
RUN cargo build --release --locked -p parkade-router

FROM ${BASE}
COPY --from=build /source/target/release/parkade-router /usr/bin/parkade-router
USER 65532:65532
ENTRYPOINT ["/usr/bin/parkade-router"]
