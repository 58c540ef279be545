# Sentinel alone: no shell, no other program, a user without rights.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/sentinel ./cmd/sentinel && mkdir /out/data /out/tmp

FROM scratch
# For a gateway that is reached by https.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/sentinel /sentinel
COPY --from=build --chown=65532:65532 --chmod=700 /out/data /data
# For the demo; serving needs none.
COPY --from=build --chmod=1777 /out/tmp /tmp
USER 65532:65532
ENV SENTINEL_DATA_DIR=/data
VOLUME /data
EXPOSE 7000
HEALTHCHECK CMD ["/sentinel", "healthcheck"]
ENTRYPOINT ["/sentinel"]
