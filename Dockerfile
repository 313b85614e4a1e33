# syntax=docker/dockerfile:1
# Not run: there is no container engine where this tree is built.

FROM node:22-bookworm-slim AS page
WORKDIR /src/web
# What is installed changes less often than what is built from it.
COPY web/package.json web/package-lock.json web/.npmrc ./
COPY web/client/package.json client/
COPY web/app/package.json app/
COPY web/tests/package.json tests/
RUN --mount=type=cache,target=/root/.npm \
    npm ci --ignore-scripts --no-audit --no-fund
COPY web/client client
# Whom one may sign in as where it is a demo.
COPY web/provider/people.json provider/
COPY web/app app
# The library first, which the application is built from.
RUN npm run build

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
 && install -D target/release/tidegate /out/tidegate

FROM debian:bookworm-slim
# The system's trusted roots, for `sslmode=verify-full`.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tidegate
COPY --from=build /out/tidegate /usr/local/bin/tidegate
COPY --from=page /src/web/app/dist /usr/share/tidegate/page
COPY LICENSE /usr/share/doc/tidegate/LICENSE

USER 10001:10001
# A container is reached from outside of it. Without authentication the server refuses that until it is told
# otherwise by TIDEGATE__AUTH__ALLOW_INSECURE=true.
ENV TIDEGATE__HTTP__LISTEN=0.0.0.0:8080 \
    TIDEGATE__PAGE__FOLDER=/usr/share/tidegate/page
EXPOSE 8080
# Clients are told to return elsewhere, with their cursors.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["/usr/local/bin/tidegate"]
CMD ["serve"]
