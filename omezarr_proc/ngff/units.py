"""The names of units that NGFF lists (https://ngff.openmicroscopy.org/0.5/#axes-md), of UDUNITS-2: prefixes and units as words."""

_PREFIXES = ("yotta", "zetta", "exa", "peta", "tera", "giga", "mega", "kilo", "hecto", "", "deci", "centi", "milli", "micro", "nano",
             "pico", "femto", "atto", "zepto", "yocto")  # fmt: skip

LENGTHS = frozenset({f"{prefix}meter" for prefix in _PREFIXES} | {"angstrom", "foot", "inch", "mile", "parsec", "yard"})
TIMES = frozenset({f"{prefix}second" for prefix in _PREFIXES} | {"minute", "hour", "day"})
