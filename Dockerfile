ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY constraints.txt pyproject.toml ./
# The dependencies alone first: this layer is built again only when they change.
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
    && pip --python /opt/venv/bin/python install -c constraints.txt -r requirements.txt
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY LICENSE README.md setup.py ./
COPY omezarr_proc omezarr_proc
# Without a compiler numpy would do the work of the kernels, more slowly: the import fails where they are not there.
RUN pip --python /opt/venv/bin/python install --no-deps . && /opt/venv/bin/python -I -c 'import omezarr_proc.engine._kernels'
# The libraries' own tests go, and what only compilers and type checkers need. numpy.testing imports numpy/_core/tests/_natype.py.
RUN find /opt/venv -path '*/tests/*' ! -path '*/numpy/_core/tests/_natype.py' -type f -delete \
    && find /opt/venv -depth -type d -empty -delete \
    && find /opt/venv -depth \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.h' -o -name '*.c' -o -name '*.a' \) -type f -delete
# Bytecode ahead of time, never checked against the source: a cold start on a read-only file system compiles nothing.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM ${BASE_IMAGE}
# Slim images come without the bytecode of the standard library.
RUN python -m compileall -q -j 0 -x '/(test|tests|idlelib|tkinter|turtledemo|ensurepip|lib2to3|pydoc_data|site-packages|dist-packages)/' \
        "$(python -c "import sysconfig; print(sysconfig.get_path('stdlib'))")"
COPY --from=build /opt/venv /opt/venv
COPY --chmod=755 entrypoint.sh /entrypoint.sh
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1 HOME=/tmp
WORKDIR /tmp
USER 1000:1000
ENTRYPOINT ["/entrypoint.sh"]
