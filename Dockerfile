# syntax=docker/dockerfile:1
# notaus as a container: build and install in one image, run in a second one without compiler, pip cache or root.

FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /build

# Dependencies first: they change seldom, and every file of theirs is checked by its hash.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/notaus \
 && /opt/notaus/bin/pip install --require-hashes -r requirements.lock \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes -r requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/notaus/bin/pip install --no-deps /dist/*.whl \
 && /opt/notaus/bin/pip uninstall --yes pip setuptools


FROM python:3.11-slim

LABEL org.opencontainers.image.title="notaus" \
      org.opencontainers.image.description="The emergency stop for services on Cloudflare Workers" \
      org.opencontainers.image.licenses="Apache-2.0"

# A number, so that an orchestrator can see that it is not root without looking into the image.
RUN groupadd --gid 10001 notaus \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/notaus --shell /usr/sbin/nologin notaus \
 && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/notaus

COPY --from=build /opt/notaus /opt/notaus

# Inside the container's own network namespace it has to listen on every address to be reached at all;
# which of them the outside can reach is decided where the port is published.
ENV PATH=/opt/notaus/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NOTAUS_LISTEN__ADDRESS=0.0.0.0 \
    NOTAUS_STORE=/var/lib/notaus/notaus.sqlite

WORKDIR /var/lib/notaus
VOLUME /var/lib/notaus
EXPOSE 9464
USER 10001:10001

# /healthz answers 200 only while the loop turns; any other answer raises, and the exit code is 1.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]

ENTRYPOINT ["notaus"]
CMD ["run", "--config", "/etc/notaus"]
