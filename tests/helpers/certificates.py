"""The script of docs/certificate.md, which computes digests with numpy and hashlib."""

import re
from collections.abc import Callable
from typing import Any

from runs import ROOT

(PAGE,) = re.findall(r"```python\n(.+?)```", (ROOT / "docs/certificate.md").read_text(), re.DOTALL)
_defined: dict[str, Any] = {"__name__": "page"}
exec(PAGE, _defined)
digest_of: Callable[[Any], str] = _defined["digest_of"]
