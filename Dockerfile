# The server in a small image: docker build -t tidings .
FROM rust:1-slim-bookworm AS build
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends build-essential
# The checkout is not copied: name its commit with --build-arg TIDINGS_COMMIT=$(git rev-parse --short=12 HEAD).
ARG TIDINGS_COMMIT
WORKDIR /src
COPY . .
RUN scripts/release /out

# Debug information of the same build: docker build --target symbols --output DIR .
FROM scratch AS symbols
COPY --from=build /out/tidings.debug /

FROM debian:bookworm-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends ca-certificates openssl \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --home-dir /var/lib/tidings --create-home tidings
COPY --from=build /out/tidings /usr/local/bin/tidings
USER tidings
WORKDIR /var/lib/tidings
EXPOSE 8080
# With SQLite the process ends within 9 s; with Postgres give a stop server.shutdown_ms and 10 s more.
STOPSIGNAL SIGTERM
ENTRYPOINT ["tidings"]
CMD ["serve", "--listen", "0.0.0.0:8080", "--data-dir", "/var/lib/tidings/data"]
