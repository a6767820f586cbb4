# The service and `artifact-flow predict` with one model: no compiler, no scikit-learn, no DVC, no pip in its environment.
# `make build-docker` builds it with the commit and the model's hash. The base is pinned by its digest, of Python 3.11.16 on
# all platforms (docker-library/repo-info, repos/python/remote): `docker buildx imagetools inspect python:3.11-slim-bookworm` gives a newer one.
ARG MODEL=model.onnx

FROM python:3.11-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements/serve.txt .
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --no-compile --only-binary :all: --require-hashes -r serve.txt

# Remove 70 MB that is needed only to build on these libraries. If an upgrade renames a path, the build stops.
WORKDIR /venv/lib/python3.11/site-packages
RUN find . -depth -type d \( -name tests -o -name __pycache__ \) -exec rm -r {} + \
    && rm -r numpy/distutils numpy/f2py onnxruntime/capi/libonnxruntime.so.* onnxruntime/quantization onnxruntime/tools onnxruntime/transformers \
        pyarrow/include pyarrow/src pyarrow/libarrow_python.so pyarrow/libarrow_python.so.*.* \
        pyarrow/_flight.* pyarrow/libarrow_flight.* pyarrow/libarrow_python_flight.*

# Bytecode that is never checked against its source: starts in a second, on a read-only disk, whatever the files' times.
COPY src/artifact_flow artifact_flow
RUN printf '#!/venv/bin/python\nfrom artifact_flow.cli import main\n\nmain()\n' > /venv/bin/artifact-flow \
    && chmod 0755 /venv/bin/artifact-flow \
    && chmod -R a+rX . \
    && python -m compileall -q --invalidation-mode unchecked-hash . \
    && /venv/bin/python -c 'import artifact_flow.predict.files, artifact_flow.serving.server'

# The model and its files, at their paths under the dvc.lock that names them; opened here to check them as the service does.
WORKDIR /build
COPY . .
ARG MODEL
ARG SHA256
RUN if [ ! -f "$MODEL" ]; then echo "error: $MODEL does not exist: run 'dvc repro' to make it." >&2; exit 1; fi \
    && if [ -n "$SHA256" ] && [ "$(sha256sum < "$MODEL")" != "$SHA256  -" ]; then \
        echo "error: $MODEL has not the sha256 $SHA256: 'make build-docker' gives the right one." >&2; exit 1; fi \
    && folder=$(dirname "$MODEL") \
    && for file in dvc.lock flows/dvc.lock "$MODEL" "$folder/model_quantized.onnx" "$folder/contract.json" "$folder/metrics.json" \
        "$folder/MODEL_CARD.md" "$folder/model.cdx.json" "$folder/croissant.json"; do \
        if [ -f "$file" ]; then install -D -m 0444 "$file" "/app/$file"; fi; done
WORKDIR /app
WORKDIR ${MODEL}/..
RUN ["/venv/bin/python", "-c", "from artifact_flow.serving.app import create; create()"]

FROM python:3.11-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b
# MALLOC_TRIM_THRESHOLD_: memory of large batches is returned to the system (561 MB held after 18 batches instead of 844).
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_TRIM_THRESHOLD_=131072
COPY --from=builder /venv /venv
COPY --from=builder /app /app
ARG MODEL
WORKDIR /app
# The model's folder, where `serve` and `predict` look for model.onnx. (Relative, so that every builder resolves the ..)
WORKDIR ${MODEL}/..
ARG COMMIT=unknown
ARG SHA256=unknown
ENV ARTIFACT_FLOW_COMMIT=$COMMIT
LABEL org.opencontainers.image.title="artifact-flow" \
      org.opencontainers.image.description="Predictions of a model that one commit reproduces, over HTTP" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="$COMMIT" \
      artifact-flow.model="$MODEL" \
      artifact-flow.model.sha256="$SHA256"
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["python", "-I", "-S", "-c", \
    "import http.client; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/ready'); raise SystemExit(c.getresponse().status != 200)"]
# The exec form, so that SIGTERM reaches Python; `docker run IMAGE predict …` runs another command of the same program.
ENTRYPOINT ["artifact-flow"]
CMD ["serve", "--host", "0.0.0.0"]
