# A tag moves: --build-arg BASE_IMAGE=python:3.12-slim@sha256:... builds from the same image for ever.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
# PYTHONHASHSEED: bytecode that is the same in every build.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONHASHSEED=0
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY requirements.txt requirements-build.txt ./
# The dependencies alone first: this layer is built again only when they change.
RUN pip --python /opt/venv/bin/python install --no-compile --require-hashes -r requirements.txt \
    && pip install --require-hashes -r requirements-build.txt
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY LICENSE README.md pyproject.toml setup.py ./
COPY omezarr_proc omezarr_proc
ARG SOURCE_DATE_EPOCH=315532800
# Without a compiler numpy would do the work of the kernels, more slowly: the import fails where they are not there.
RUN pip wheel --no-build-isolation --no-deps --wheel-dir dist . \
    && pip --python /opt/venv/bin/python install --no-compile --no-deps dist/*.whl \
    && /opt/venv/bin/python -I -B -c 'import omezarr_proc.pixels._kernels'
# The libraries' own tests go, and what only compilers and type checkers need. numpy.testing imports numpy/_core/tests/_natype.py.
RUN find /opt/venv -path '*/tests/*' ! -path '*/numpy/_core/tests/_natype.py' -type f -delete \
    && find /opt/venv -depth -type d -empty -delete \
    && find /opt/venv -depth \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.h' -o -name '*.c' -o -name '*.a' \) -type f -delete
# Codecs of imagecodecs that no TIFF can ask for.
COPY slim.py ./
RUN /opt/venv/bin/python -B slim.py
# Bytecode ahead of time, never checked against the source: a cold start on a read-only file system compiles nothing.
# It names the hash of its source, not the time of a file that each build makes anew. With times that are always the same, so is the layer:
# /opt is a part of it, whose time would be that of the build if it were not copied too.
RUN python -m compileall -q -f -j 0 --invalidation-mode unchecked-hash /opt/venv/lib \
    && mkdir -p /layer/opt && mv /opt/venv /layer/opt \
    && find /layer -exec touch --no-dereference --date=@315532800 {} +

FROM ${BASE_IMAGE}
# Slim images come without the bytecode of the standard library.
RUN lib=$(python -c "import sysconfig; print(sysconfig.get_path('stdlib'))") \
    && PYTHONHASHSEED=0 python -m compileall -q -f -j 0 --invalidation-mode unchecked-hash -x '/(test|tests|idlelib|tkinter|turtledemo|ensurepip|lib2to3|pydoc_data|site-packages|dist-packages)/' "$lib" \
    && find "$lib" \( -type d -o -name '*.pyc' \) -exec touch --date=@315532800 {} +
COPY --from=build /layer/ /
COPY --chmod=755 entrypoint.sh /entrypoint.sh
# No USER: entrypoint.sh becomes the owner of OUTPUT_DIR. PYTHONSAFEPATH: nothing is imported from the folder that it starts in, where all may write.
ENV PATH=/opt/venv/bin:$PATH PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1 HOME=/tmp
WORKDIR /tmp
# `make docker-build` makes the bill of materials and names it; without it the pattern finds none.
COPY LICENSE sbom.cdx.jso[n] /usr/share/doc/omezarr-proc/
ARG VERSION REVISION SOURCE CREATED SBOM
# For --version: a label cannot be read from inside.
RUN printf %s "$REVISION" > "$(python -B -c 'import omezarr_proc; print(omezarr_proc.REVISION_FILE)')"
LABEL org.opencontainers.image.title=omezarr-proc org.opencontainers.image.licenses=Apache-2.0 \
    org.opencontainers.image.version=$VERSION org.opencontainers.image.revision=$REVISION org.opencontainers.image.source=$SOURCE \
    org.opencontainers.image.created=$CREATED omezarr-proc.sbom=$SBOM
ENTRYPOINT ["/entrypoint.sh"]
