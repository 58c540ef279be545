# Sentinel alone: no shell, no other program, a user without rights.
#
# The build needs no network after `go mod vendor`: ui/dist is committed.

FROM golang:1.26 AS build
WORKDIR /src
COPY . .
ARG VERSION
RUN --mount=type=cache,target=/root/.cache/go-build --mount=type=cache,target=/go/pkg/mod \
    CGO_ENABLED=0 go build -tags=nomsgpack -trimpath -ldflags "-s -w -buildid= -X main.version=${VERSION}" -o /out/sentinel ./cmd/sentinel && \
    go run ./cmd/release licences /out/licences && \
    mkdir /out/data /out/tmp

FROM scratch
# For a gateway that is reached by https.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/licences /licences
COPY --from=build /out/sentinel /sentinel
COPY --from=build --chown=65532:65532 --chmod=700 /out/data /data
# For the demo; serving needs none.
COPY --from=build --chmod=1777 /out/tmp /tmp
USER 65532:65532
ENV PATH=/ SENTINEL_DATA_DIR=/data
VOLUME /data
EXPOSE 7000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/sentinel", "healthcheck"]
ENTRYPOINT ["/sentinel"]
