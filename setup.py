"""Everything about the package stands in pyproject.toml, but for the C kernels: without a compiler numpy does their work."""

import os
import sys

from setuptools import Extension, setup

# Neither debugging information nor a path: the same bytes from any folder.
FLAGS = ["-O3", "-std=c11", "-g0", f"-ffile-prefix-map={os.getcwd()}=."]

KERNELS = Extension(
    "omezarr_proc.pixels._kernels",
    ["omezarr_proc/pixels/_kernels.c"],
    extra_compile_args=[] if sys.platform == "win32" else FLAGS,
    py_limited_api=True,
    optional=True,
)

setup(ext_modules=[KERNELS], options={"bdist_wheel": {"py_limited_api": "cp311"}})
