"""libvirt's own schemas, as the judge of what is written."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kvist.errors import Unsupported
from kvist.xml.document import Document

if TYPE_CHECKING:
    from lxml.etree import RelaxNG

DIRECTORY = Path("/usr/share/libvirt/schemas")
"""Where every distribution's libvirt puts them."""

SCHEMAS = {
    "domain": "domain",
    "network": "network",
    "networkport": "networkport",
    "pool": "storagepool",
    "volume": "storagevol",
    "filter": "nwfilter",
    "filterbinding": "nwfilterbinding",
    "domainsnapshot": "domainsnapshot",
    "domaincheckpoint": "domaincheckpoint",
    "domainbackup": "domainbackup",
    "domainCapabilities": "domaincaps",
    "capabilities": "capability",
    "interface": "interface",
    "device": "nodedev",
    "secret": "secret",
}
"""The schema that knows a document, by its first element."""


def violations(document: Document, directory: Path = DIRECTORY) -> list[str]:
    """Say what libvirt's schema has against a document; nothing when it is valid.

    Raises Unsupported when the schemas are not installed, or none of them is for such a document.
    """
    tag = str(document.root.tag)
    if tag not in SCHEMAS:
        raise Unsupported(f"libvirt has no schema for <{tag}>")
    schema = _schema(directory / f"{SCHEMAS[tag]}.rng")
    # Parsed again: libxml2 keeps marks of an earlier validation in a tree, and judges a changed one by them.
    if schema.validate(Document.parse(document.text()).root):
        return []
    return [f"line {entry.line}: {entry.message}" for entry in schema.error_log]


@cache
def _schema(file: Path) -> RelaxNG:
    from lxml import etree

    if not file.is_file():
        raise Unsupported(f'libvirt\'s schema "{file}" is not installed', hint="apt install libvirt0")
    return etree.RelaxNG(etree.parse(str(file)))
