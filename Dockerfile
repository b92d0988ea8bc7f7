# docker build --tag headlessdns:0.1.0 .
#
# Two stages: pip and its caches stay in the first. What both share is the Python of the same base image.
FROM python:3.13-slim AS build
WORKDIR /src
# The environment gets no pip: nothing is installed into it later.
RUN python -m venv --without-pip /opt/headlessdns
COPY pyproject.toml README.md LICENSE ./
COPY headlessdns headlessdns
# The lab knows OrdinalSets: the wheel takes their definition from here.
COPY deploy/crd/ordinalsets.yaml deploy/crd/
RUN pip --python /opt/headlessdns/bin/python install --no-cache-dir --disable-pip-version-check .

FROM python:3.13-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="headlessdns" \
      org.opencontainers.image.description="DNS for StatefulSets: answers for headless Services from the Kubernetes API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/headlessdns /opt/headlessdns
# The root file system may be read-only: no .pyc is written at run time, those of the packages are there.
ENV PATH=/opt/headlessdns/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# By number, so that Kubernetes can tell that it is not root. No home, no shell, no entry in /etc/passwd is needed.
USER 65532:65532
EXPOSE 1053/udp 1053/tcp 9153/tcp
ENTRYPOINT ["headlessdns"]
CMD ["serve"]
