# syntax=docker/dockerfile:1.17
# carlet: docker buildx build -f images/carlet.Dockerfile -t carlet:0.1.0 .
ARG GO=golang:1.26-bookworm@sha256:9fdc884aacc3bec89b20ffc69f4bb369c78210e3e4f600387b5128b12c199f81
ARG BASE=gcr.io/distroless/static-debian12:nonroot@sha256:f5b485ea962d9bd1186b2f6b3a061191539b905b82ec395de78cbfae51f20e35

FROM ${GO} AS build
WORKDIR /source
COPY operator/carlet/go.mod operator/carlet/go.sum ./
RUN go mod download
COPY operator/carlet ./
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o /carlet ./cmd/carlet

FROM ${BASE}
COPY --from=build /carlet /usr/bin/carlet
USER 65532:65532
ENTRYPOINT ["/usr/bin/carlet"]
