"""A certificate as RO-Crate metadata (https://w3id.org/ro/crate/1.2): which files became which image, by what, when. Pure."""

from collections.abc import Mapping
from typing import Any

CRATE = "ro-crate-metadata.json"
_SPECIFICATION = "https://w3id.org/ro/crate/1.2"
PROGRAM = "#omezarr_proc"


def crate(certificate: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of the crate that a dataset's folder is: its sources, its levels and how they came to be."""
    made = certificate["time"]
    sources = [_source(number, source) for number, source in enumerate(certificate["sources"])]
    levels = [_level(image, level) for image in certificate["images"] for level in image["levels"]]
    software = certificate["software"]
    settings = [
        {"@id": f"#{name}", "@type": "PropertyValue", "name": name, "value": value} for name, value in certificate["settings"].items()
    ]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"OME-Zarr pyramid of {', '.join(source['name'] for source in certificate['sources'])}",
        "description": "each level is made of the one before, and the first of the files that it is based on",
        "datePublished": made,
        "license": "the license of the files that it was made of",
        "identifier": certificate["key"],
        "isBasedOn": _named(sources),
        "hasPart": _named(levels),
        "mentions": {"@id": "#conversion"},
    }
    conversion = {
        "@id": "#conversion",
        "@type": "CreateAction",
        "name": "Conversion into OME-Zarr",
        "endTime": made,
        "instrument": {"@id": PROGRAM},
        "object": [*_named(sources), *_named(settings)],
        "result": {"@id": "./"},
    }
    program = {
        "@id": PROGRAM,
        "@type": "SoftwareApplication",
        "name": "omezarr_proc",
        "softwareVersion": software["omezarr_proc"],
        "softwareRequirements": [f"{name} {version}" for name, version in software.items() if name != "omezarr_proc"],
    }
    descriptor = {"@id": CRATE, "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": {"@id": _SPECIFICATION}}
    return {"@context": f"{_SPECIFICATION}/context", "@graph": [descriptor, root, conversion, program, *sources, *settings, *levels]}


def _source(number: int, source: Mapping[str, Any]) -> dict[str, Any]:
    """A file that is no part of the crate, so it has a name in the graph alone."""
    return {
        "@id": f"#source-{number}",
        "@type": "CreativeWork",
        "name": source["name"],
        "size": f"{source['bytes']} B",
        "sha256": source["sha256"],
    }


def _level(image: Mapping[str, Any], level: Mapping[str, Any]) -> dict[str, Any]:
    path = "/".join(filter(None, (image["path"], level["path"])))
    sizes = " x ".join(map(str, level["shape"]))
    pixels = f"{sizes} pixels of {level['dtype']}; SHA-256 of the pixels, block by block: {level['sha256']}"
    return {"@id": f"{path}/", "@type": "Dataset", "name": f"level {path}", "description": pixels}


def _named(entities: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"@id": entity["@id"]} for entity in entities]
