# The web page for many users: `docker build -t agri .`, or `docker compose up` with a database beside it.
# TORCH_INDEX=ADDRESS names a package index with CPU builds of torch, which make the image some gigabytes smaller.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ARG TORCH_INDEX=""
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /srv/agri
COPY . .
RUN --mount=type=cache,target=/root/.cache/pip make setup EXTRAS=postgres TORCH_INDEX="$TORCH_INDEX" PYTHON=python3

FROM python:${PYTHON}
RUN useradd --system --uid 10001 --home-dir /var/lib/agri --create-home agri
COPY --from=build /srv/agri /srv/agri
# Inside a container the page must answer on every address; compose.yml decides who reaches the port.
ENV PATH=/srv/agri/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AGRI_HOME=/var/lib/agri \
    AGRI_PORT=8501 \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0
WORKDIR /var/lib/agri
USER 10001
VOLUME /var/lib/agri
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['AGRI_PORT'] + '/api/health', timeout=4)"]
CMD ["agri", "serve"]
